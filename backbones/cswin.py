"""CSWin Transformer (arXiv:2107.00652, CVPR 2022) as a four-level backbone."""

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.checkpoints import PublishedKeys
from backbones.layers import (
    Convolutions,
    LayerNorm2d,
    TransformerBlock,
    biased,
    init_linears,
    parameters,
)
from backbones.ops._watchers import remember_layers
from backbones.ops.attention import attention
from backbones.ops.cross_shaped_attention import cross_shaped_attention
from backbones.ops.dispatch import dispatched
from backbones.ops.linear import linear
from backbones.pyramid import Pyramid
from backbones.registry import register
from backbones.stage import Stage
from backbones.variants import Variant, rates

torch.fx.wrap('attention')  # torch.fx need not trace into it
EPS = 1e-5  # epsilon of the LayerNorms of maps


class Stem(Convolutions):
    """Convolutional token embedding, image -> (B, dim, (H + 1) // 4, (W + 1) // 4), Sec. 3.1."""

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__(nn.Conv2d(in_channels, dim, 7, 4, 2), LayerNorm2d(dim, eps=EPS))


class Downsample(Convolutions):
    """A strided 3x3 convolution and a norm between two stages, Sec. 3.1."""

    def __init__(self, before: int, after: int) -> None:
        conv = nn.Conv2d(before, after, 3, 2, 1)
        norm = LayerNorm2d(after, eps=EPS)  # published no-decay rules match this name
        super().__init__(OrderedDict(conv=conv, norm=norm))


class CrossShapedAttention(nn.Module):
    """Attention in vertical and horizontal stripes, global if `stripe` is None, Sec. 3.2.

    See `cross_shaped_attention`.
    """

    def __init__(self, dim: int, heads: int, stripe: int | None) -> None:
        super().__init__()
        self.heads, self.stripe = heads, stripe
        self.qkv = nn.Linear(dim, 3 * dim)
        branches = 1 if stripe is None else 2
        c = dim // branches
        self.lepe = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1, groups=c) for _ in range(branches))
        self.proj = nn.Linear(dim, dim)
        remember_layers(self)

    @dispatched('cross_shaped_attention', calls=('attention',))
    def forward(self, x: Tensor) -> Tensor:
        s = self.stripe
        windows = [(None, None)] if s is None else [(None, s), (s, None)]
        n = len(windows)
        qkv, heads = self.qkv(x).unflatten(-1, (3, n, -1)), self.heads // n  # (B, H, W, 3, n, c)
        branches = enumerate(zip(self.lepe, windows))
        parts = [attend(qkv[..., i, :], *branch, heads=heads) for i, branch in branches]
        return self.proj(torch.cat(parts, -1))

    def fast_forward(self, x: Tensor) -> Tensor:
        lepe = [biased(conv) for conv in self.lepe]
        qkv = linear(x, *parameters(self.qkv))
        x = cross_shaped_attention(qkv, lepe, heads=self.heads, stripe=self.stripe)
        return linear(x, *parameters(self.proj))


def attend(
    qkv: Tensor, lepe: nn.Module, window: tuple[int | None, int | None], *, heads: int
) -> Tensor:
    """Attend within windows of the zero-padded map: (B, H, W, 3, c) -> (B, H, W, c).

    Args:
        window: height and width in cells; None is the whole map's.
    """
    B, H, W, _, c = qkv.shape
    (h, a), (w, b) = windows_of(H, window[0]), windows_of(W, window[1])
    columns, rows = w * b - W, h * a - H  # padding; an odd column or row comes after the map
    top, left, d = rows // 2, columns // 2, c // heads
    qkv = F.pad(qkv, (0, 0, 0, 0, left, columns - left, top, rows - top))
    # one copy cuts q, k and v at once, and heads stay side by side: convolutions and attention of
    # runtimes read them so
    qkv = qkv.reshape(B, h, a, w, b, 3, c).permute(5, 0, 1, 3, 2, 4, 6)
    q, k, v = qkv.reshape(3, -1, a * b, heads, d).unbind()  # (n, ab, heads, d) each
    values = v.reshape(-1, a, b, c).permute(0, 3, 1, 2)
    position = lepe(values).permute(0, 2, 3, 1)  # locally enhanced encoding, Eq. 7
    x = attention(*(part.transpose(1, 2) for part in (q, k, v))).transpose(1, 2)
    x = (x.reshape(-1, a, b, c) + position).reshape(B, h, w, a, b, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(B, h * a, w * b, c)[:, top : top + H, left : left + W]


def windows_of(size: int, width: int | None) -> tuple[int, int]:
    """Return how many windows cover a side, and their width.

    An exporter can tell that windows of this number and width fill a padded side; it could not from
    -size % width.
    """
    return (1, size) if width is None else ((size + width - 1) // width, width)


RELEASE = 'https://github.com/microsoft/CSWin-Transformer/releases/download/v0.1.0/'


def _row(dim: int, file: str, *, stripe: int = 7, **facts: Any) -> Variant:
    """Build a row of the table: each stage doubles the channels, but not always the heads."""
    return Variant(
        dims=(dim, 2 * dim, 4 * dim, 8 * dim),
        stripes=(1, 2, stripe),
        mlp_ratio=4,
        weights=RELEASE + file,
        **facts,
    )


@register
class CSWin(Pyramid):
    """CSWin Transformer: cross-shaped window attention at strides 4 to 16, global attention at 32.

    See `Pyramid` for what all backbones share (levels, freezing, checkpoints, errors). Unlike the
    others, its first level has floor((H + 1) / 4) rows, as published; each later one has half as
    many, rounded up.

    Args:
        arch: 'tiny', 'small', 'base', 'large' (Table 1), 'base_384', 'large_384' (the models
            fine-tuned at 384 pixels: at stride 16 their stripes are 12 cells wide instead of 7,
            which their files do not record), or a dict with `dims`, `depths`, `heads`, `stripes`
            (three widths in cells), `mlp_ratio`.
        drop_path_rate: probability of dropping the last block's branches; ImageNet training used
            0.2, 0.4, 0.5 (tiny, small, base), ADE20K UPerNet 0.3, 0.4, 0.6.

    Source: arXiv:2107.00652; github.com/microsoft/CSWin-Transformer, segmentation/backbone.
    Intended differences: stage 4 of large has 1152 channels, as in its published weights (the dense
    code builds 576), and the final norm of a classification file initialises `norm4` (the dense
    code drops it).
    """

    ARCHS = {
        'tiny': _row(
            64,
            'cswin_tiny_224.pth',
            depths=(1, 2, 21, 1),
            heads=(2, 4, 8, 16),
            parameters=21_808_448,
            gmacs=4.324,
            drop_path=rates(0.2, upernet=0.3),
        ),
        'small': _row(
            64,
            'cswin_small_224.pth',
            depths=(2, 4, 32, 2),
            heads=(2, 4, 8, 16),
            parameters=34_131_200,
            gmacs=6.8,
            drop_path=rates(0.4),
        ),
        'base': _row(
            96,
            'cswin_base_224.pth',
            depths=(2, 4, 32, 2),
            heads=(4, 8, 16, 32),
            parameters=76_614_528,
            gmacs=14.955,
            drop_path=rates(0.5, upernet=0.6),
        ),
        'large': _row(
            144,
            'cswin_large_22k_224.pth',  # ImageNet-22K; the others were trained on ImageNet-1K
            depths=(2, 4, 32, 2),
            heads=(6, 12, 24, 24),
            parameters=172_111_680,
            gmacs=33.129,
            drop_path=rates(0.5, upernet=0.6),
        ),
        'base_384': _row(
            96,
            'cswin_base_384.pth',
            stripe=12,
            depths=(2, 4, 32, 2),
            heads=(4, 8, 16, 32),
            parameters=76_614_528,
            drop_path=rates(0.5, upernet=0.6),
        ),
        'large_384': _row(
            144,
            'cswin_large_384.pth',
            stripe=12,
            depths=(2, 4, 32, 2),
            heads=(6, 12, 24, 24),
            parameters=172_111_680,
            drop_path=rates(0.5, upernet=0.6),
        ),
    }
    NANO = dict(
        dims=(24, 48, 96, 192),
        depths=(1, 1, 2, 1),
        heads=(2, 4, 8, 8),
        stripes=(1, 2, 7),
        mlp_ratio=4,
    )
    NORM_NAMES = ('norm1', 'norm2', 'norm3', 'norm4')
    PUBLISHED = PublishedKeys(
        renames=(
            (r'^stage1_conv_embed\.0\.', 'stem.0.'),
            (r'^stage1_conv_embed\.2\.', 'stem.1.'),
            (r'^(stage\d\.\d+)\.(qkv|proj)\.', r'\1.attn.\2.'),
            (r'^(stage\d\.\d+)\.attns\.(\d)\.get_v\.', r'\1.attn.lepe.\2.'),
            *((rf'^stage{i + 1}\.', f'stages.{i}.blocks.') for i in range(4)),
            *((rf'^merge{i}\.', f'stages.{i}.downsample.') for i in (1, 2, 3)),
            (r'^norm\.', 'norm4.'),
        ),
        added=(r'norm[123]\.',),
        dense=r'norm[1234]\.',
        wrappers=('state_dict_ema', 'state_dict', 'model'),
    )

    def build_stem(self) -> nn.Module:
        return Stem(self.in_channels, self.arch['dims'][0])

    def build_stage(self, i: int, drop_path: list[list[float]]) -> Stage:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratio']
        return Stage(
            Downsample(dims[i - 1], dims[i]) if i else nn.Identity(),
            [
                TransformerBlock(self.build_attention(i), dims[i], ratio, drop_path=rate)
                for rate in drop_path[i]
            ],
        )

    def build_attention(self, i: int) -> nn.Module:
        """Build the attention of one block of stage i."""
        stripe = self.arch['stripes'][i] if i < 3 else None
        return CrossShapedAttention(self.arch['dims'][i], self.arch['heads'][i], stripe)

    def build_norm(self, dim: int) -> nn.Module:
        return LayerNorm2d(dim, eps=EPS)

    def init_from_scratch(self) -> None:
        init_linears(self)
