"""VOLO (arXiv:2106.13112, TPAMI 2022) as a four-level backbone."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.checkpoints import PublishedKeys
from backbones.errors import UserError
from backbones.layers import (
    Convolutions,
    LayerNorm2d,
    SelfAttention,
    TransformerBlock,
    convolve,
    init_linears,
    nchw,
    nhwc,
    parameters,
)
from backbones.ops._watchers import remember_layers
from backbones.ops.dispatch import dispatched, like, to_fast_layout
from backbones.ops.linear import linear
from backbones.ops.outlook_attention import CELLS, outlook_attention
from backbones.position_table import fit_table, resample
from backbones.pyramid import Pyramid
from backbones.registry import register
from backbones.stage import Stage
from backbones.variants import Variant, rates

for name in ('like', 'outlook_attention', 'resample', 'to_fast_layout'):
    torch.fx.wrap(name)  # torch.fx need not trace into them
RELEASE = 'https://github.com/sail-sg/volo/releases/download/volo_1/'
# fine-tuned on larger images: side and top-1
FINER = dict(
    d1=('384_85.2',), d2=('384_86.0',), d3=('448_86.3',), d4=('448_86.79',),
    d5=('448_87.0', '512_87.07'),
)  # fmt: skip
CELL = 16  # image pixels per position of the last three stages
TABLE = 14  # side of the position table at 224 pixels, in cells
EPS = 1e-5  # epsilon of the LayerNorms of levels


class Stem(Convolutions):
    """Patch embedding to stride 8 through three convolutions at stride 2, Sec. 3.

    (B, in_channels, H, W) -> (B, dim, H / 8, W / 8), H and W padded to multiples of 16 pixels.
    """

    def __init__(self, in_channels: int, stem_dim: int, dim: int) -> None:
        layers: list[nn.Module] = []
        for before, kernel_size, stride in ((in_channels, 7, 2), *[(stem_dim, 3, 1)] * 2):
            layers += [
                nn.Conv2d(before, stem_dim, kernel_size, stride, kernel_size // 2, bias=False),
                nn.BatchNorm2d(stem_dim),
                nn.ReLU(),
            ]
        super().__init__(*layers, nn.Conv2d(stem_dim, dim, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        H, W = x.shape[-2:]
        # not -n % CELL: a compiler can tell that CELL divides cells * CELL
        right, bottom = ((n + CELL - 1) // CELL * CELL - n for n in (W, H))
        return to_fast_layout(super().forward(F.pad(x, (0, right, 0, bottom))))


class Downsample(nn.Module):
    """A 2x2 convolution from stride 8 to 16, plus the position table resampled to the map."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(before, after, 2, 2)
        self.pos_embed = nn.Parameter(torch.zeros(1, TABLE, TABLE, after))
        remember_layers(self)

    def resize_table(self, side: int) -> None:
        """Replace the table by zeros of `side` x `side` cells."""
        table = self.pos_embed
        zeros = table.new_zeros(1, side, side, table.shape[-1])
        self.pos_embed = nn.Parameter(zeros, requires_grad=table.requires_grad)

    @dispatched('dense_conv')
    def forward(self, x: Tensor) -> Tensor:
        return self.add_position(self.proj(x))

    def fast_forward(self, x: Tensor) -> Tensor:
        return self.add_position(convolve(self.proj, x))

    def add_position(self, x: Tensor) -> Tensor:
        """Add the position table to a (B, C, H, W) map."""
        x = nhwc(x).contiguous()
        _, H, W, _ = x.shape
        return nchw(x + resample(self.pos_embed, (H, W)))


class OutlookAttention(nn.Module):
    """Attention weights of 3x3 windows from pooled tokens, Sec. 3.1. See `outlook_attention`."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.v = nn.Linear(dim, dim, bias=False)
        self.pool = nn.AvgPool2d(2, 2, ceil_mode=True)
        self.logits = nn.Linear(dim, heads * CELLS**2)
        self.proj = nn.Linear(dim, dim)
        remember_layers(self)

    @dispatched('linear', calls=('outlook_attention',))
    def forward(self, x: Tensor) -> Tensor:
        logits = self.logits(nhwc(self.pool(nchw(x))))
        return self.proj(outlook_attention(logits, self.v(x), heads=self.heads))

    def fast_forward(self, x: Tensor) -> Tensor:
        logits = linear(nhwc(self.pool(nchw(x))), *parameters(self.logits))
        v = linear(x, *parameters(self.v))
        x = outlook_attention(logits, v, heads=self.heads)
        return linear(x, *parameters(self.proj))


class Resizes(nn.ModuleDict):
    """For each level, the module that takes its stage's map, at stride 8 or 16, to its stride."""

    def __init__(self, resizes: dict[str, nn.Module]) -> None:
        super().__init__(resizes)
        remember_layers(self)

    @dispatched('dense_conv')
    def forward(self, x: Tensor, level: int) -> Tensor:
        return self[str(level)](x)

    def fast_forward(self, x: Tensor, level: int) -> Tensor:
        return convolve(self[str(level)], x) if level < 2 else self[str(level)](x)


def _resize(level: int, dim: int) -> nn.Module:
    if level < 2:
        return nn.ConvTranspose2d(dim, dim, 2, 2)
    return nn.MaxPool2d(2, ceil_mode=True) if level == 3 else nn.Identity()


@register
class VOLO(Pyramid):
    """VOLO: outlook attention at stride 8, global attention at stride 16, no class token.

    See `Pyramid` for what all backbones share (levels, freezing, checkpoints, errors).

    Args:
        arch: 'd1' to 'd5' (the variants' table in Sec. 3), or a dict with `dims` (of the four
            levels; the last three are equal), `depths`, `heads`, `mlp_ratio`, `stem_dim` (channels
            of the stem's convolutions).
        drop_path_rate: probability of dropping the last block's branches; ImageNet training used
            0.1, 0.2, 0.5 (d1, d2, d3).
        pos_embed_size: side of the position table in cells of 16 pixels: 14, the default, for the
            files trained at 224 pixels, 24, 28, 32 for 384, 448, 512. A file's table of another
            side is resampled to it, as is the table to each image; give the file's own side to
            train it unchanged.

    Source: arXiv:2106.13112; github.com/sail-sg/volo (classification only). The pyramid is this
    project's: stages 0 to 3 are the four groups of blocks, at strides 8, 16, 16, 16; level i is the
    output of stage i, resized beside the main path by a learned 2x upsampling (0 and 1) or 2x2 max
    pooling (3), then normalised; the classifier's norm initialises the last one. Images are
    zero-padded on the right and at the bottom to multiples of 16 pixels, and the levels cropped.
    Intended difference: drop path also applies to the outlookers, which the published code skips.
    """

    ARCHS = {
        arch: Variant(
            dims=(dim, 2 * dim, 2 * dim, 2 * dim),
            depths=depths,
            heads=(heads[0], heads[1], heads[1], heads[1]),
            mlp_ratio=mlp_ratio,
            stem_dim=stem_dim,
            parameters=parameters,
            gmacs=gmacs,
            weights=f'{RELEASE}{arch}_224_{top1}.pth.tar',
            more_weights={
                f'{name[:3]} pixels': f'{RELEASE}{arch}_{name}.pth.tar' for name in FINER[arch]
            },
            drop_path=rates(drop_path),
        )
        for arch, dim, depths, heads, mlp_ratio, stem_dim, parameters, gmacs, top1, drop_path in (
            ('d1', 192, (4, 4, 8, 2), (6, 12), 3, 64, 23_645_400, 6.955, '84.2', 0.1),
            ('d2', 256, (6, 4, 10, 4), (8, 16), 3, 64, 53_713_776, 14.404, '85.2', 0.2),
            ('d3', 256, (8, 8, 16, 4), (8, 16), 3, 64, 81_360_512, 20.831, '85.4', 0.5),
            ('d4', 384, (8, 8, 16, 4), (12, 16), 3, 64, 182_566_560, 44.562, '85.7', 0.5),
            ('d5', 384, (12, 12, 20, 4), (12, 16), 4, 128, 282_699_792, 72.598, '86.10', 0.5),
        )
    }
    NANO = dict(
        dims=(48, 96, 96, 96), depths=(2, 1, 1, 1), heads=(2, 4, 4, 4), mlp_ratio=3, stem_dim=16
    )
    PUBLISHED = PublishedKeys(
        renames=(
            (r'^pos_embed$', 'stages.1.downsample.pos_embed'),
            (r'^patch_embed\.conv\.', 'stem.'),
            (r'^patch_embed\.proj\.', 'stem.9.'),
            (r'^network\.0\.', 'stages.0.blocks.'),
            (r'^network\.1\.', 'stages.1.downsample.'),
            *((rf'^network\.{i + 1}\.', f'stages.{i}.blocks.') for i in (1, 2, 3)),
            (r'\.attn\.attn\.', '.attn.logits.'),
            (r'^norm\.', 'norm3.'),
        ),
        dropped=(r'cls_token$', r'post_network\.', r'aux_head\.', r'head\.'),
        added=(r'norm[012]\.', r'resizes\.'),
        fit=fit_table,
    )

    def __init__(
        self,
        arch: str | dict,
        *,
        drop_path_rate: float = 0.0,
        pos_embed_size: int = TABLE,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        fast: bool = True,
        prefer: str = 'time',
        init_cfg: dict | None = None,
    ) -> None:
        if pos_embed_size < 1:
            raise UserError(f'pos_embed_size is {pos_embed_size}; allowed: 1 cell or more')
        super().__init__(
            arch,
            drop_path_rate=drop_path_rate,
            in_channels=in_channels,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            fast=fast,
            prefer=prefer,
            init_cfg=init_cfg,
        )
        if self.num_stages > 1:
            self.stages[1].downsample.resize_table(pos_embed_size)

    def build_stem(self) -> nn.Module:
        return Stem(self.in_channels, self.arch['stem_dim'], self.arch['dims'][0])

    def build_stage(self, i: int, drop_path: list[list[float]]) -> Stage:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratio']
        return Stage(
            Downsample(dims[0], dims[1]) if i == 1 else nn.Identity(),
            [
                TransformerBlock(self.build_attention(i), dims[i], ratio, drop_path=rate)
                for rate in drop_path[i]
            ],
        )

    def build_attention(self, i: int) -> nn.Module:
        """Build the attention of one block of stage i."""
        dim, heads = self.arch['dims'][i], self.arch['heads'][i]
        return OutlookAttention(dim, heads) if i == 0 else SelfAttention(dim, heads, qkv_bias=False)

    def build_norm(self, dim: int) -> nn.Module:
        return LayerNorm2d(dim, eps=EPS)

    def build_levels(self) -> None:
        levels = zip(self.out_indices, self.channels)
        self.resizes = Resizes({str(i): _resize(i, dim) for i, dim in levels})
        super().build_levels()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        levels = super().forward(x)  # levels of the image as the stem pads it
        H, W = x.shape[-2:]
        return tuple(  # not -(-H // stride), which rounds the other way once exported
            like(level[..., : (H + stride - 1) // stride, : (W + stride - 1) // stride], x)
            for level, stride in zip(levels, self.strides)
        )

    def forward_level(self, i: int, x: Tensor) -> Tensor:
        return super().forward_level(i, self.resizes(x, i))

    def frozen_modules(self) -> Iterator[nn.Module]:
        yield from super().frozen_modules()
        for i in range(self.frozen_stages):
            if i in self.out_indices:
                yield self.resizes[str(i)]

    def init_from_scratch(self) -> None:
        init_linears(self)
        if self.num_stages > 1:
            nn.init.trunc_normal_(self.stages[1].downsample.pos_embed, std=0.02)
        for resize in self.resizes.values():
            if isinstance(resize, nn.ConvTranspose2d):  # begins as nearest-neighbour
                identity = torch.eye(resize.in_channels)[:, :, None, None]
                resize.weight.data.copy_(identity.expand_as(resize.weight))
                nn.init.zeros_(resize.bias)
