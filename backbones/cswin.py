"""CSWin Transformer (arXiv:2107.00652, CVPR 2022) as a four-level backbone."""

from typing import Any

from torch import Tensor, nn

from backbones.checkpoints import PublishedKeys
from backbones.layers import DenseConv2d, DropPath, LayerNorm2d, Linear, Mlp, init_linears
from backbones.ops.cross_shaped_attention import cross_shaped_attention
from backbones.pyramid import Pyramid, Stage
from backbones.registry import register
from backbones.variants import Variant, rates

EPS = 1e-5  # of the LayerNorms of maps


class Stem(nn.Sequential):
    """Convolutional token embedding, image -> (B, dim, (H + 1) // 4, (W + 1) // 4), Sec. 3.1."""

    def __init__(self, dim: int) -> None:
        super().__init__(DenseConv2d(3, dim, 7, 4, 2), LayerNorm2d(dim, eps=EPS))


class Downsample(nn.Module):
    """A strided 3x3 convolution and a norm between two stages, Sec. 3.1."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = DenseConv2d(before, after, 3, 2, 1)
        self.norm = LayerNorm2d(after, eps=EPS)  # published no-decay rules go by this name

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class CrossShapedAttention(nn.Module):
    """Attention in vertical and horizontal stripes, the whole map if `stripe` is None, Sec. 3.2.

    See `cross_shaped_attention`.
    """

    def __init__(self, dim: int, heads: int, stripe: int | None) -> None:
        super().__init__()
        self.heads, self.stripe = heads, stripe
        self.qkv = Linear(dim, 3 * dim)
        branches = 1 if stripe is None else 2
        c = dim // branches
        self.lepe = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1, groups=c) for _ in range(branches))
        self.proj = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        lepe = [(conv.weight, conv.bias) for conv in self.lepe]
        x = cross_shaped_attention(self.qkv(x), lepe, heads=self.heads, stripe=self.stripe)
        return self.proj(x)


class Block(nn.Module):
    """Attention and MLP, each a residual of (B, H, W, dim), Sec. 3.3."""

    def __init__(
        self, dim: int, heads: int, mlp_ratio: float, *, stripe: int | None, drop_path: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = CrossShapedAttention(dim, heads, stripe)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


RELEASE = 'https://github.com/microsoft/CSWin-Transformer/releases/download/v0.1.0/'


def _row(dim: int, file: str, *, stripe: int = 7, **facts: Any) -> Variant:
    """A row of the table: each stage doubles the channels, also where heads do not double."""
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

    See `Pyramid` for what all backbones share (levels, freezing, checkpoints, errors). Differently
    from them the first level has floor((H + 1) / 4) rows, as published, and each further one
    ceil(half).

    Args:
        arch: 'tiny', 'small', 'base', 'large' (Table 1), 'base_384', 'large_384' (the models
            fine-tuned at 384 pixels: stripes 12 instead of 7 cells wide at stride 16, which their
            files do not tell), or a dict with `dims`, `depths`, `heads`, `stripes` (three widths in
            cells), `mlp_ratio`.
        drop_path_rate: probability of dropping the last block's branches; ImageNet training used
            0.2, 0.4, 0.5 (tiny, small, base), ADE20K UPerNet 0.3, 0.4, 0.6.

    Source: arXiv:2107.00652; github.com/microsoft/CSWin-Transformer, segmentation/backbone.
    Intended differences: stage 4 of large has 1152 channels, as its published weights (the dense
    code builds 576), and a classification file's final norm starts `norm4` (the dense code loses
    it).
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
            'cswin_large_22k_224.pth',  # ImageNet-22k; the others are trained on ImageNet-1K
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
        return Stem(self.arch['dims'][0])

    def build_stage(self, i: int, drop_path: list[list[float]]) -> Stage:
        dims, heads, ratio = self.arch['dims'], self.arch['heads'][i], self.arch['mlp_ratio']
        stripe = self.arch['stripes'][i] if i < 3 else None
        return Stage(
            Downsample(dims[i - 1], dims[i]) if i else nn.Identity(),
            [Block(dims[i], heads, ratio, stripe=stripe, drop_path=rate) for rate in drop_path[i]],
        )

    def build_norm(self, dim: int) -> nn.Module:
        return LayerNorm2d(dim, eps=EPS)

    def init_from_scratch(self) -> None:
        init_linears(self)
