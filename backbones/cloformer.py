"""CloFormer (arXiv:2303.17803) as a four-level backbone."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.checkpoints import PublishedKeys
from backbones.layers import (
    DenseConv2d,
    DepthwiseConv2d,
    DropPath,
    PointwiseConv2d,
    parameters,
)
from backbones.ops import exported, to_fast_layout, traced
from backbones.ops.context_gate import context_gate
from backbones.ops.conv_mlp import conv_mlp
from backbones.ops.global_attention import global_attention
from backbones.pyramid import Pyramid, Stage
from backbones.registry import register
from backbones.variants import Variant, rates

DEPTHS = (2, 2, 6, 2)  # of every published variant
KERNELS = (3, 5, 7, 9)  # of the local branch, by stage
POOLS = (8, 4, 2, 1)  # windows of the global branch's keys and values, in cells, by stage


class GroupNorm(nn.GroupNorm):
    """A norm with one group: its statistics run over all channels and positions of a sample."""

    def __init__(self, dim: int) -> None:
        super().__init__(1, dim)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and self.weight.requires_grad and not x.requires_grad:
            # after frozen stages: PyTorch 2.11's backward crashes on channels_last CPU maps here
            return to_fast_layout(super().forward(x.contiguous()))
        return super().forward(x)


class Stem(nn.Sequential):
    """Four 3x3 convolutions and a projection, (B, 3, H, W) -> (B, dim, H/4, W/4), Sec. 3.1."""

    def __init__(self, dim: int) -> None:
        layers, before = [], 3
        for after, stride in ((dim // 2, 2), (dim, 2), (dim, 1), (dim, 1)):
            conv = DenseConv2d(before, after, 3, stride, 1)
            layers += [conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            before = after
        super().__init__(*layers, PointwiseConv2d(dim, dim), GroupNorm(dim))


class Attention(nn.Module):
    """High-frequency (local) and low-frequency (global) attention side by side, Sec. 3.2."""

    def __init__(
        self, dim: int, heads: int, local_heads: int, *, kernel_size: int, pool: int
    ) -> None:
        super().__init__()
        self.head_dim = dim // heads
        self.global_heads = heads - local_heads
        self.pool = pool
        low, high = self.head_dim * self.global_heads, self.head_dim * local_heads
        self.local_qkv = PointwiseConv2d(dim, 3 * high)
        self.local_conv = DepthwiseConv2d(3 * high, kernel_size)
        self.gate1 = PointwiseConv2d(high, high)
        self.gate2 = PointwiseConv2d(high, high)
        self.global_q = PointwiseConv2d(dim, low)
        self.global_kv = PointwiseConv2d(dim, 2 * low)
        self.proj = PointwiseConv2d(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        layers = map(parameters, (self.local_conv, self.gate1, self.gate2))
        high = context_gate(self.local_qkv(x), *layers, scale=self.head_dim**-0.5)
        k, v = self.global_kv(self.average(x)).chunk(2, dim=1)
        low = global_attention(self.global_q(x), k, v, heads=self.global_heads)
        return self.proj(torch.cat([high, low], dim=1))

    def average(self, x: Tensor) -> Tensor:
        """Means of windows; the last rows and columns that fill none enter no key."""
        if self.pool == 1:
            return x
        if traced() and not exported():  # else each other remainder would be compiled anew
            height, width = (side // self.pool * self.pool for side in x.shape[-2:])
            x = x[..., :height, :width]
        return F.avg_pool2d(x, self.pool)


class ConvMlp(nn.Module):
    """Feed-forward network with a depthwise 5x5 convolution between its layers, Sec. 3.3."""

    def __init__(self, dim: int, out: int, ratio: float, *, stride: int = 1) -> None:
        super().__init__()
        hidden = int(dim * ratio)
        self.stride = stride
        self.fc1 = PointwiseConv2d(dim, hidden)
        self.dwconv = DepthwiseConv2d(hidden, 5, stride=stride)
        self.fc2 = PointwiseConv2d(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        layers = map(parameters, (self.fc1, self.dwconv, self.fc2))
        return conv_mlp(x, *layers, stride=self.stride)


class Downsample(nn.Module):
    """The strided feed-forward half of a stage's last published block, Sec. 3.3.

    It halves the map and changes the channels; the shortcut is a strided convolution, a BatchNorm
    and a projection. It belongs to the next stage here, because it follows the level that the
    stage emits.
    """

    def __init__(self, dim: int, out: int, ratio: float, *, drop_path: float) -> None:
        super().__init__()
        self.norm = GroupNorm(dim)
        self.mlp = ConvMlp(dim, out, ratio, stride=2)
        self.shortcut = nn.Sequential(
            OrderedDict(
                conv=DenseConv2d(dim, dim, 5, 2, 2),
                norm=nn.BatchNorm2d(dim),
                proj=PointwiseConv2d(dim, out),
            )
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.drop_path(self.mlp(self.norm(x)))


class AttentionBlock(nn.Module):
    """Attention as a residual of (B, dim, H, W): the last block of a stage that others follow."""

    def __init__(self, dim: int, *, drop_path: float, **attention: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(dim)
        self.attn = Attention(dim, **attention)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.attn(self.norm1(x)))


class Block(AttentionBlock):
    """Attention and feed-forward network, each a residual of (B, dim, H, W), Sec. 3.1."""

    def __init__(self, dim: int, ratio: float, *, drop_path: float, **attention: int) -> None:
        super().__init__(dim, drop_path=drop_path, **attention)
        self.norm2 = GroupNorm(dim)
        self.mlp = ConvMlp(dim, dim, ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x + self.drop_path(self.mlp(self.norm2(x)))


@register
class CloFormer(Pyramid):
    """CloFormer: gated local convolutions beside attention to pooled keys.

    See `Pyramid` for what all backbones share (levels, freezing, checkpoints, errors).

    Args:
        arch: 'xxs', 'xs', 's' (Table 1), or a dict with `dims`, `depths`, `heads`, `local_heads`
            (how many of the heads are local), `mlp_ratio`.
        drop_path_rate: probability of dropping the last block's branches; ImageNet training used 0,
            0.06, 0.06.

    Source: arXiv:2303.17803; github.com/qhfan/CloFormer (classification only, no weights). Level i
    < 3 lies inside the last block of stage i, after its attention, where the map still has the
    stage's size. Where the published code refuses a size, keys and values are pooled as at the
    sizes that it takes: rounding down.
    """

    ARCHS = {
        'xxs': Variant(
            dims=(32, 64, 128, 256),
            depths=DEPTHS,
            heads=(4, 4, 8, 16),
            local_heads=(3, 2, 4, 4),
            mlp_ratio=4,
            parameters=3_910_176,
            gmacs=0.6602,
            drop_path=rates(0.0),
        ),
        'xs': Variant(
            dims=(48, 96, 160, 352),
            depths=DEPTHS,
            heads=(3, 6, 10, 22),
            local_heads=(2, 3, 5, 7),
            mlp_ratio=4,
            parameters=6_819_824,
            gmacs=1.2188,
            drop_path=rates(0.06),
        ),
        's': Variant(
            dims=(64, 128, 224, 448),
            depths=DEPTHS,
            heads=(4, 8, 14, 28),
            local_heads=(3, 4, 7, 7),
            mlp_ratio=4,
            parameters=11_897_408,
            gmacs=2.1694,
            drop_path=rates(0.06),
        ),
    }
    NANO = dict(
        dims=(32, 48, 96, 192),
        depths=(1, 1, 2, 1),
        heads=(2, 3, 6, 12),
        local_heads=(1, 2, 3, 3),
        mlp_ratio=4,
    )
    BLOCK_AXES = 'BCHW'
    PUBLISHED = PublishedKeys(
        renames=(
            *(
                (rf'^patch_embed\.conv{i + 1}\.conv\.{j}\.', f'stem.{3 * i + j}.')
                for i in range(4)
                for j in (0, 1)
            ),
            (r'^patch_embed\.conv5\.', 'stem.12.'),
            (r'^patch_embed\.layernorm\.', 'stem.13.'),
            *(
                (
                    rf'^layers\.{i}\.blocks\.{depth - 1}\.{theirs}\.',
                    f'stages.{i + 1}.downsample.{ours}.',
                )
                for i, depth in enumerate(DEPTHS[:3])
                for theirs, ours in (
                    ('norm2', 'norm'),
                    ('mlp', 'mlp'),
                    (r'downsample\.0', 'shortcut.conv'),
                    (r'downsample\.1', 'shortcut.norm'),
                    (r'downsample\.2', 'shortcut.proj'),
                )
            ),
            (r'^layers\.', 'stages.'),
            (r'\.attn\.qkvs\.0\.', '.attn.local_qkv.'),
            (r'\.attn\.convs\.0\.', '.attn.local_conv.'),
            (r'\.attn\.act_blocks\.0\.act_block\.0\.', '.attn.gate1.'),
            (r'\.attn\.act_blocks\.0\.act_block\.2\.', '.attn.gate2.'),
            (r'^norm\.', 'norm3.'),
        ),
        added=(r'norm[012]\.',),
        wrappers=('model', 'state_dict'),
    )

    def build_stem(self) -> nn.Module:
        return Stem(self.arch['dims'][0])

    def build_stage(self, i: int, drop_path: list[list[float]]) -> Stage:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratio']
        attention = dict(
            heads=self.arch['heads'][i],
            local_heads=self.arch['local_heads'][i],
            kernel_size=KERNELS[i],
            pool=POOLS[i],
        )
        blocks = [Block(dims[i], ratio, drop_path=rate, **attention) for rate in drop_path[i]]
        if i < 3:
            blocks[-1] = AttentionBlock(dims[i], drop_path=drop_path[i][-1], **attention)
        if i == 0:
            return Stage(nn.Identity(), blocks)
        before, rate = dims[i - 1], drop_path[i - 1][-1]  # of the block whose second half it is
        return Stage(Downsample(before, dims[i], ratio, drop_path=rate), blocks)

    def build_norm(self, dim: int) -> nn.Module:
        return GroupNorm(dim)

    def init_from_scratch(self) -> None:
        """Keep PyTorch's defaults, as published."""
