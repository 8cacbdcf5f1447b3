"""VOLO (arXiv:2106.13112, TPAMI 2022) as a four-level backbone."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from backbones import checkpoints
from backbones.checkpoints import PublishedKeys
from backbones.layers import (
    DropPath,
    LayerNorm2d,
    Mlp,
    SelfAttention,
    init_linears,
    nchw,
    nhwc,
)
from backbones.ops.outlook_attention import CELLS, outlook_attention
from backbones.pyramid import STRIDES, Pyramid, Stage

CELL = 16  # image pixels per position of the last three stages


class Stem(nn.Sequential):
    """Patch embedding to stride 8 through three convolutions at stride 2, Sec. 3.

    (B, 3, H, W) -> (B, dim, H / 8, W / 8), channels last in memory, as the blocks read it.
    """

    def __init__(self, stem_dim: int, dim: int) -> None:
        layers = []
        for before, kernel_size, stride in ((3, 7, 2), (stem_dim, 3, 1), (stem_dim, 3, 1)):
            layers += [
                nn.Conv2d(before, stem_dim, kernel_size, stride, kernel_size // 2, bias=False),
                nn.BatchNorm2d(stem_dim),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers, nn.Conv2d(stem_dim, dim, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).contiguous(memory_format=torch.channels_last)


class Downsample(nn.Module):
    """A 2x2 convolution from stride 8 to 16, plus the position table resampled to the map's
    size."""

    def __init__(self, before: int, after: int, pos_embed_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(before, after, 2, 2)
        self.pos_embed = nn.Parameter(torch.zeros(1, pos_embed_size, pos_embed_size, after))

    def forward(self, x: Tensor) -> Tensor:
        x = nhwc(self.proj(x)).contiguous()
        return nchw(x + resample(self.pos_embed, x.shape[1:3]))


class OutlookAttention(nn.Module):
    """Weights for each 3x3 window from its pooled token, Sec. 3.1. See `outlook_attention`."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.v = nn.Linear(dim, dim, bias=False)
        self.logits = nn.Linear(dim, heads * CELLS**2)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        token = nhwc(F.avg_pool2d(nchw(x), 2, 2, ceil_mode=True))
        return self.proj(outlook_attention(self.logits(token), self.v(x), heads=self.heads))


class Block(nn.Module):
    """Attention and MLP, each a residual of (B, H, W, dim), Sec. 3.1."""

    def __init__(
        self, dim: int, heads: int, mlp_ratio: float, *, outlook: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = (
            OutlookAttention(dim, heads) if outlook else SelfAttention(dim, heads, qkv_bias=False)
        )
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Upsample(nn.ConvTranspose2d):
    """A learned 2x upsampling that starts as the nearest-neighbour one."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim, 2, 2)
        with torch.no_grad():
            self.weight.copy_(torch.eye(dim)[:, :, None, None].expand_as(self.weight))
            self.bias.zero_()


def _resize(level: int, dim: int) -> nn.Module:
    """What brings the output of stage `level`, at stride 8, 16, 16 or 16, to the level's stride."""
    if level < 2:
        return Upsample(dim)
    return nn.MaxPool2d(2, ceil_mode=True) if level == 3 else nn.Identity()


def resample(table: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample a (1, G, G', C) position table to (1, *size, C) cells: bicubic, no antialiasing.

    It is computed at least in float32. Source: github.com/sail-sg/volo, utils/utils.py, which
    resamples square tables when it loads a file.
    """
    if table.shape[1:3] == tuple(size):
        return table
    wide = torch.promote_types(table.dtype, torch.float32)
    return nhwc(F.interpolate(nchw(table).to(wide), tuple(size), mode='bicubic')).to(table.dtype)


def _fit(name: str, tensor: Tensor, target: Tensor) -> Tensor | None:
    """Resample the position table of a file made at another image size; see `PublishedKeys.fit`."""
    if (
        name.endswith('.pos_embed')
        and tensor.ndim == 4
        and tensor.shape[::3] == target.shape[::3]  # (1, C)
    ):
        return resample(tensor, target.shape[1:3])
    return checkpoints.fit(name, tensor, target)


@MODELS.register_module()
class VOLO(Pyramid):
    """VOLO: outlook attention at stride 8, global attention at stride 16, no class token.

    See `Pyramid` for what all backbones share (levels, freezing, checkpoints, errors).

    Args:
        arch: 'd1' to 'd5' (the variants' table in Sec. 3), or a dict with `dims` (of the four
            levels; the last three are equal), `depths`, `heads`, `mlp_ratio`, `stem_dim` (channels
            of the stem's convolutions).
        drop_path_rate: probability of dropping the last block's branches; ImageNet training used
            0.1, 0.2, 0.5 (d1, d2, d3).
        pos_embed_size: side of the position table in cells of 16 pixels: 14 for the files made at
            224 pixels, 24, 28, 32 for 384, 448, 512. A file's table of another side is resampled to
            it, as is the table to each image; give the file's own side to train it unchanged.

    Source: arXiv:2106.13112; github.com/sail-sg/volo (classification only). The pyramid is this
    project's: stages 0 to 3 are the four groups of blocks, at strides 8, 16, 16, 16; level i is the
    output of stage i, resized by a learned 2x upsampling (0 and 1) or 2x2 max pooling (3) beside
    the main path, then normalised; the classifier's norm starts the last one. Images are
    zero-padded at the right and the bottom to multiples of 16 pixels and the levels cropped.
    Intended difference: drop path reaches the outlookers, which the published code leaves out by
    mistake.
    """

    ARCHS = {
        'd1': dict(
            dims=(192, 384, 384, 384),
            depths=(4, 4, 8, 2),
            heads=(6, 12, 12, 12),
            mlp_ratio=3,
            stem_dim=64,
        ),
        'd2': dict(
            dims=(256, 512, 512, 512),
            depths=(6, 4, 10, 4),
            heads=(8, 16, 16, 16),
            mlp_ratio=3,
            stem_dim=64,
        ),
        'd3': dict(
            dims=(256, 512, 512, 512),
            depths=(8, 8, 16, 4),
            heads=(8, 16, 16, 16),
            mlp_ratio=3,
            stem_dim=64,
        ),
        'd4': dict(
            dims=(384, 768, 768, 768),
            depths=(8, 8, 16, 4),
            heads=(12, 16, 16, 16),
            mlp_ratio=3,
            stem_dim=64,
        ),
        'd5': dict(
            dims=(384, 768, 768, 768),
            depths=(12, 12, 20, 4),
            heads=(12, 16, 16, 16),
            mlp_ratio=4,
            stem_dim=128,
        ),
    }
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
        fit=_fit,
    )

    def __init__(
        self,
        arch: str | dict,
        *,
        drop_path_rate: float = 0.0,
        pos_embed_size: int = 14,
        out_indices: tuple[int, ...] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        if pos_embed_size < 1:
            raise ValueError(f'pos_embed_size is {pos_embed_size}; allowed: 1 cell or more')
        self.pos_embed_size = pos_embed_size  # `build` needs it
        super().__init__(
            arch,
            drop_path_rate=drop_path_rate,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )

    def build(self, rates: list[list[float]]) -> None:
        dims, heads, ratio = self.arch['dims'], self.arch['heads'], self.arch['mlp_ratio']
        self.stem = Stem(self.arch['stem_dim'], dims[0])
        self.stages = nn.ModuleList(
            Stage(
                Downsample(dims[0], dims[1], self.pos_embed_size) if i == 1 else nn.Identity(),
                [
                    Block(dims[i], heads[i], ratio, outlook=i == 0, drop_path=rate)
                    for rate in rates[i]
                ],
            )
            for i in range(self.depth)
        )
        self.resizes = nn.ModuleDict({str(i): _resize(i, dims[i]) for i in self.out_indices})
        self.add_norms(LayerNorm2d)

    def forward_levels(self, x: Tensor) -> tuple[Tensor, ...]:
        H, W = x.shape[-2:]
        right, bottom = ((CELL - n % CELL) % CELL for n in (W, H))  # -n % CELL would not compile
        x = self.stem(F.pad(x, (0, right, 0, bottom)))
        levels = []
        for i in range(self.depth):
            x = self.forward_stage(i, x)
            if i in self.out_indices:
                level = self.resizes[str(i)](x)[..., : -(-H // STRIDES[i]), : -(-W // STRIDES[i])]
                levels.append(self.get_submodule(self.NORM_NAMES[i])(level))
        return tuple(levels)

    def frozen_modules(self) -> Iterator[nn.Module]:
        yield from super().frozen_modules()
        for i in range(self.frozen_stages):
            if i in self.out_indices:
                yield self.resizes[str(i)]

    def init_from_scratch(self) -> None:
        init_linears(self)
        if self.depth > 1:
            nn.init.trunc_normal_(self.stages[1].downsample.pos_embed, std=0.02)
