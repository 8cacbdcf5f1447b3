"""CloFormer (arXiv:2303.17803) as a four-level backbone."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.checkpoints import PublishedKeys
from backbones.layers import Convolutions, DropPath, GroupNorm, biased, parameters
from backbones.ops._bfloat16 import exact
from backbones.ops._watchers import remember_layers
from backbones.ops.attention import attention
from backbones.ops.context_gate import context_gate
from backbones.ops.conv_mlp import conv_mlp
from backbones.ops.dispatch import dispatched, exported, traced
from backbones.ops.pointwise import pointwise
from backbones.pyramid import Pyramid
from backbones.registry import register
from backbones.stage import Stage
from backbones.variants import Variant, rates

torch.fx.wrap('attention')  # torch.fx need not trace into it
DEPTHS = (2, 2, 6, 2)  # depths of every published variant
KERNELS = (3, 5, 7, 9)  # kernel sizes of the local branch, by stage
POOLS = (8, 4, 2, 1)  # pooling windows of the global keys and values, in cells, by stage


def norm(dim: int) -> GroupNorm:
    """Build a single-group norm, with statistics over all channels and positions of a sample."""
    return GroupNorm(1, dim)


class Stem(Convolutions):
    """Four 3x3 convolutions and a projection, image -> (B, dim, H/4, W/4), Sec. 3.1."""

    def __init__(self, in_channels: int, dim: int) -> None:
        layers: list[nn.Module] = []
        before = in_channels
        for after, stride in ((dim // 2, 2), (dim, 2), (dim, 1), (dim, 1)):
            conv = nn.Conv2d(before, after, 3, stride, 1)
            layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        super().__init__(*layers, nn.Conv2d(dim, dim, 1), norm(dim))


class Attention(nn.Module):
    """High-frequency (local) and low-frequency (global) attention side by side, Sec. 3.2."""

    def __init__(
        self, dim: int, heads: int, local_heads: int, *, kernel_size: int, pool: int
    ) -> None:
        super().__init__()
        self.global_heads = heads - local_heads
        self.scale = (dim // heads) ** -0.5
        self.pool = pool
        low, high = dim // heads * self.global_heads, dim // heads * local_heads
        self.local_qkv = nn.Conv2d(dim, 3 * high, 1)
        padding = kernel_size // 2
        self.local_conv = nn.Conv2d(3 * high, 3 * high, kernel_size, 1, padding, groups=3 * high)
        self.gate1 = nn.Conv2d(high, high, 1)
        self.act = nn.SiLU()
        self.gate2 = nn.Conv2d(high, high, 1)
        self.global_q = nn.Conv2d(dim, low, 1)
        self.global_kv = nn.Conv2d(dim, 2 * low, 1)
        self.proj = nn.Conv2d(dim, dim, 1)
        remember_layers(self)

    @dispatched('context_gate', 'pointwise', calls=('attention',))
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.local_conv(self.local_qkv(x)).chunk(3, dim=1)
        gate = self.gate2(self.act(self.gate1(q * k)))
        high = torch.tanh(gate * self.scale) * v
        low = self.attend(self.global_q(x), self.global_kv(self.average(x)))
        return self.proj(torch.cat([high, low], dim=1))

    def fast_forward(self, x: Tensor) -> Tensor:
        layers = map(biased, (self.local_conv, self.gate1, self.gate2))
        high = context_gate(pointwise(x, *parameters(self.local_qkv)), *layers, scale=self.scale)
        kv = pointwise(self.average(x), *parameters(self.global_kv))
        low = self.attend(pointwise(x, *parameters(self.global_q)), kv)
        return pointwise(torch.cat([high, low], dim=1), *parameters(self.proj))

    def attend(self, q: Tensor, kv: Tensor) -> Tensor:
        """Attend to all positions of another map: (B, c, H, W), (B, 2 c, ...) -> (B, c, H, W)."""
        _, _, H, W = q.shape
        k, v = kv.chunk(2, dim=1)
        x = attention(*map(self.by_head, (q, k, v)))
        return x.transpose(1, 2).flatten(2).unflatten(1, (H, W)).permute(0, 3, 1, 2)

    def by_head(self, x: Tensor) -> Tensor:
        """View a (B, c, H, W) map as (B, heads, HW, d)."""
        return x.flatten(2).unflatten(1, (self.global_heads, -1)).transpose(2, 3)

    def average(self, x: Tensor) -> Tensor:
        """Average over windows; rows and columns at the end that fill no window are dropped."""
        if self.pool == 1:
            return x
        if traced() and not exported():  # otherwise every new remainder would recompile
            height, width = (side // self.pool * self.pool for side in x.shape[-2:])
            x = x[..., :height, :width]
        return F.avg_pool2d(x, self.pool)


class ConvMlp(nn.Module):
    """Feed-forward network with a depthwise 5x5 convolution between its layers, Sec. 3.3."""

    def __init__(self, dim: int, out: int, ratio: float, *, stride: int = 1) -> None:
        super().__init__()
        hidden = int(dim * ratio)
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.act = nn.GELU()
        self.dwconv = nn.Conv2d(hidden, hidden, 5, stride, 2, groups=hidden)
        self.fc2 = nn.Conv2d(hidden, out, 1)
        remember_layers(self)

    @dispatched('conv_mlp')
    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(exact(self.dwconv)(self.act(self.fc1(x))))

    def fast_forward(self, x: Tensor) -> Tensor:
        layers = map(biased, (self.fc1, self.dwconv, self.fc2))
        return conv_mlp(x, *layers, stride=self.dwconv.stride[0])


class Downsample(nn.Module):
    """The strided feed-forward half of a stage's last block in the published code, Sec. 3.3.

    It halves the map and changes the channels; the shortcut is a strided convolution, a BatchNorm
    and a projection. Here it belongs to the next stage, because it comes after the level that the
    stage emits.
    """

    def __init__(self, dim: int, out: int, ratio: float, *, drop_path: float) -> None:
        super().__init__()
        self.norm = norm(dim)
        self.mlp = ConvMlp(dim, out, ratio, stride=2)
        self.shortcut = Convolutions(
            OrderedDict(
                conv=nn.Conv2d(dim, dim, 5, 2, 2),
                norm=nn.BatchNorm2d(dim),
                proj=nn.Conv2d(dim, out, 1),
            )
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.drop_path(self.mlp(self.norm(x)))


class AttentionBlock(nn.Module):
    """Attention as a residual of (B, dim, H, W): the last block of every stage but the last."""

    def __init__(self, dim: int, *, drop_path: float, **attention: int) -> None:
        super().__init__()
        self.norm1 = norm(dim)
        self.attn = Attention(dim, **attention)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.attn(self.norm1(x)))


class Block(AttentionBlock):
    """Attention and feed-forward network, each a residual of (B, dim, H, W), Sec. 3.1."""

    def __init__(self, dim: int, ratio: float, *, drop_path: float, **attention: int) -> None:
        super().__init__(dim, drop_path=drop_path, **attention)
        self.norm2 = norm(dim)
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

    Source: arXiv:2303.17803; github.com/qhfan/CloFormer (classification only, no weights). Levels 0
    to 2 come from inside the last block of their stage, after its attention, where the map still
    has the stage's size. At sizes that the published code rejects, keys and values are pooled as at
    the sizes that it accepts, by rounding down.
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
        return Stem(self.in_channels, self.arch['dims'][0])

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
            return Stage(nn.Identity(), blocks, axes='BCHW')
        before, rate = dims[i - 1], drop_path[i - 1][-1]  # it is that block's second half
        downsample = Downsample(before, dims[i], ratio, drop_path=rate)
        return Stage(downsample, blocks, axes='BCHW')

    def build_norm(self, dim: int) -> nn.Module:
        return norm(dim)

    def init_from_scratch(self) -> None:
        """Keep PyTorch's defaults, as published."""
