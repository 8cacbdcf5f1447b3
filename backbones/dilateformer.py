"""DilateFormer (arXiv:2302.01791, TMM 2023) as a four-level backbone."""

import itertools

import torch
from torch import Tensor, nn

from backbones.checkpoints import PublishedKeys
from backbones.layers import (
    Convolutions,
    DropPath,
    LayerNorm,
    LayerNorm2d,
    Mlp,
    SelfAttention,
    init_linears,
    nchw,
    nhwc,
    parameters,
)
from backbones.ops._watchers import remember_layers
from backbones.ops.dilated_attention import dilated_attention
from backbones.ops.dispatch import dispatched
from backbones.ops.linear import linear
from backbones.pyramid import Pyramid
from backbones.registry import register
from backbones.stage import Stage
from backbones.variants import Variant, rates

torch.fx.wrap('dilated_attention')  # torch.fx need not trace into it
DILATIONS = (1, 2, 3)
STEM_DIMS = (16, 32, 64)
EPS = 1e-6  # epsilon of every LayerNorm


class Stem(Convolutions):
    """Overlapping tokenizer: four 3x3 convolutions, image -> (B, dim, H/4, W/4), Sec. 3.3."""

    def __init__(self, in_channels: int, dim: int) -> None:
        layers: list[nn.Module] = []
        dims = (in_channels, *STEM_DIMS, dim)
        for i, (before, after) in enumerate(itertools.pairwise(dims)):
            layers += [
                nn.Conv2d(before, after, 3, 1 + i % 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.GELU(),
            ]
        super().__init__(*layers[:-2])  # nothing follows the last convolution


class Downsample(Convolutions):
    """Overlapping downsampler: a strided 3x3 convolution and a BatchNorm, Sec. 3.3."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after))


class DilatedAttention(nn.Module):
    """Multi-scale dilated attention, Eq. 3 and 4. See `dilated_attention`."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        remember_layers(self)

    @dispatched('linear', calls=('dilated_attention',))
    def forward(self, x: Tensor) -> Tensor:
        return self.proj(self.mix(self.qkv(x)))

    def fast_forward(self, x: Tensor) -> Tensor:
        return linear(self.mix(linear(x, *parameters(self.qkv))), *parameters(self.proj))

    def mix(self, qkv: Tensor) -> Tensor:
        """Attend: (B, H, W, 3 dim) -> (B, H, W, dim)."""
        q, k, v = qkv.chunk(3, dim=-1)
        return dilated_attention(q, k, v, heads=self.heads, dilations=DILATIONS)


class Block(nn.Module):
    """Position encoding by convolution, attention, MLP: residuals of (B, H, W, dim), Eq. 5."""

    def __init__(
        self, dim: int, heads: int, mlp_ratio: float, *, local: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.pos_conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = LayerNorm(dim, eps=EPS)
        self.attn = DilatedAttention(dim, heads) if local else SelfAttention(dim, heads)
        self.norm2 = LayerNorm(dim, eps=EPS)
        self.mlp = Mlp(dim, mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + nhwc(self.pos_conv(nchw(x)))
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


@register
class DilateFormer(Pyramid):
    """DilateFormer: dilated attention at strides 4 and 8, global attention at 16 and 32.

    See `Pyramid` for what all backbones share (levels, freezing, checkpoints, errors).

    Args:
        arch: 'tiny', 'small', 'base' (Table 1), or a dict with `dims`, `depths`, `heads`,
            `mlp_ratio`; the heads of the first two stages are multiples of 3.
        drop_path_rate: probability of dropping the last block's branches; ImageNet used 0.1.

    Source: arXiv:2302.01791; github.com/JIAOJIAYUASD/dilateformer (classification only). Level i
    is the normalised output of stage i; the classifier's norm initialises the last one.
    """

    ARCHS = {
        'tiny': Variant(
            dims=(72, 144, 288, 576),
            depths=(2, 2, 6, 2),
            heads=(3, 6, 12, 24),
            mlp_ratio=4,
            parameters=16_662_752,
            gmacs=3.1613,
            drop_path=rates(0.2, upernet=0.3),
        ),
        'small': Variant(
            dims=(72, 144, 288, 576),
            depths=(3, 5, 8, 3),
            heads=(3, 6, 12, 24),
            mlp_ratio=4,
            parameters=23_481_512,
            gmacs=4.5905,
            drop_path=rates(0.2, upernet=0.3),
        ),
        'base': Variant(
            dims=(96, 192, 384, 768),
            depths=(4, 8, 10, 3),
            heads=(3, 6, 12, 24),
            mlp_ratio=4,
            parameters=46_664_720,
            gmacs=9.9236,
            drop_path=rates(0.2, upernet=0.3),
        ),
    }
    NANO = dict(dims=(24, 48, 96, 192), depths=(1, 1, 2, 1), heads=(3, 6, 12, 24), mlp_ratio=4)
    WEIGHTS = "on Google Drive and Baidu, linked in the authors' repository"
    LOCAL_STAGES = 2
    PUBLISHED = PublishedKeys(
        renames=(
            (r'^patch_embed\.proj\.', 'stem.'),
            *(
                (rf'^stages\.{i}\.downsample\.proj\.', f'stages.{i + 1}.downsample.')
                for i in (2, 1, 0)
            ),
            (r'\.pos_embed\.', '.pos_conv.'),
            (r'^norm\.', 'norm3.'),
        ),
        added=(r'norm[012]\.',),
        wrappers=('model', 'state_dict'),
    )

    def build_stem(self) -> nn.Module:
        return Stem(self.in_channels, self.arch['dims'][0])

    def build_stage(self, i: int, drop_path: list[list[float]]) -> Stage:
        dims, heads, ratio = self.arch['dims'], self.arch['heads'][i], self.arch['mlp_ratio']
        local = i < self.LOCAL_STAGES
        return Stage(
            Downsample(dims[i - 1], dims[i]) if i else nn.Identity(),
            [Block(dims[i], heads, ratio, local=local, drop_path=rate) for rate in drop_path[i]],
        )

    def build_norm(self, dim: int) -> nn.Module:
        return LayerNorm2d(dim, eps=EPS)

    def init_from_scratch(self) -> None:
        # the published local projection is a 1x1 convolution, with that layer's default
        init_linears(
            self,
            skip=lambda name: (
                name.endswith('attn.qkv') and int(name.split('.')[1]) < self.LOCAL_STAGES
            ),
        )
