"""MogaNet (arXiv:2211.03295, ICLR 2024) as a four-level backbone."""

from collections import OrderedDict
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from backbones.checkpoints import PublishedKeys
from backbones.layers import DropPath, drop_path_schedule
from backbones.ops.multi_order_conv import multi_order_conv
from backbones.ops.pointwise import pointwise, to_fast_layout
from backbones.pyramid import Pyramid, Stage

KERNELS, DILATIONS = (5, 5, 7), (1, 2, 3)
SCALE = 1e-5  # initial layer scales and decomposition factors, Appendix A


class Stem(nn.Sequential):
    """Two strided 3x3 convolutions, (B, 3, H, W) -> (B, dim, H/4, W/4), Sec. 4.4."""

    def __init__(self, dim: int) -> None:
        super().__init__(
            nn.Conv2d(3, dim // 2, 3, 2, 1),
            nn.BatchNorm2d(dim // 2),
            nn.GELU(),
            nn.Conv2d(dim // 2, dim, 3, 2, 1),
            nn.BatchNorm2d(dim),
        )


class Downsample(nn.Sequential):
    """A strided 3x3 convolution and a BatchNorm, Sec. 4.4."""

    def __init__(self, before: int, after: int) -> None:
        conv, norm = nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after)
        super().__init__(OrderedDict(conv=conv, norm=norm))


def mix(layer: nn.Conv2d, x: Tensor) -> Tensor:
    return pointwise(x, layer.weight, layer.bias)


class SpatialAggregation(nn.Module):
    """Multi-order gated aggregation, Eq. 3 to 6; as published, the input is added to the output."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj1 = nn.Conv2d(dim, dim, 1)
        self.sigma_scale = nn.Parameter(torch.full((1, dim, 1, 1), SCALE))
        self.gate = nn.Conv2d(dim, dim, 1)
        widths = (dim, 3 * dim // 8, dim // 2)
        self.orders = nn.ModuleList(
            nn.Conv2d(width, width, k, padding=d * (k // 2), dilation=d, groups=width)
            for width, k, d in zip(widths, KERNELS, DILATIONS)
        )
        self.value = nn.Conv2d(dim, dim, 1)
        self.proj2 = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = mix(self.proj1, x)
        a = F.silu(a + self.sigma_scale * (a - a.mean((2, 3), keepdim=True)))
        orders = multi_order_conv(
            a, [c.weight for c in self.orders], [c.bias for c in self.orders], dilations=DILATIONS
        )
        return mix(self.proj2, F.silu(mix(self.gate, a)) * F.silu(mix(self.value, orders))) + x


class ChannelAggregation(nn.Module):
    """Feed-forward network with a depthwise convolution and channel reallocation, Eq. 7 and 8."""

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        hidden = int(dim * ratio)
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.decompose = nn.Conv2d(hidden, 1, 1)
        self.sigma_scale = nn.Parameter(torch.full((1, hidden, 1, 1), SCALE))
        self.fc2 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.dwconv(mix(self.fc1, x)))
        x = x + self.sigma_scale * (x - F.gelu(mix(self.decompose, x)))
        return mix(self.fc2, x)


class Block(nn.Module):
    """Spatial and channel aggregation, each a scaled residual of (B, dim, H, W), Eq. 2."""

    def __init__(self, dim: int, ratio: float, *, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(dim)
        self.attn = SpatialAggregation(dim)
        self.layer_scale_1 = nn.Parameter(torch.full((1, dim, 1, 1), SCALE))
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = ChannelAggregation(dim, ratio)
        self.layer_scale_2 = nn.Parameter(torch.full((1, dim, 1, 1), SCALE))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.layer_scale_1 * self.attn(self.norm1(x)))
        return x + self.drop_path(self.layer_scale_2 * self.mlp(self.norm2(x)))


@MODELS.register_module()
class MogaNet(Pyramid):
    """MogaNet: gated depthwise convolutions of several dilations, no attention.

    See `Pyramid` for what all backbones share (levels, freezing, checkpoints, errors). The output
    norms are part of the trunk: the next stage reads the normalised level, so `norm1` to the last
    built one exist for every `out_indices`.

    Args:
        arch: 'xtiny', 'tiny', 'small', 'base', 'large', 'xlarge' (Table A1), or a dict with `dims`
            (multiples of 8), `depths`, `mlp_ratios`.
        drop_path_rate: probability of dropping the last block's branches; ImageNet training used
            0.05, 0.1, 0.1, 0.2, 0.3, 0.4.

    Source: arXiv:2211.03295; github.com/Westlake-AI/MogaNet (classification and dense).
    """

    ARCHS = {
        name: dict(dims=dims, depths=depths, mlp_ratios=(8, 8, 4, 4))
        for name, dims, depths in (
            ('xtiny', (32, 64, 96, 192), (3, 3, 10, 2)),
            ('tiny', (32, 64, 128, 256), (3, 3, 12, 2)),
            ('small', (64, 128, 320, 512), (2, 3, 12, 2)),
            ('base', (64, 160, 320, 512), (4, 6, 22, 3)),
            ('large', (64, 160, 320, 640), (4, 6, 44, 4)),
            ('xlarge', (96, 192, 480, 960), (6, 6, 44, 4)),
        )
    }
    NORM_NAMES = ('norm1', 'norm2', 'norm3', 'norm4')
    CHANNELS_LAST = False
    PUBLISHED = PublishedKeys(
        renames=(
            (r'^patch_embed1\.projection\.', 'stem.'),
            *(
                (rf'^patch_embed{i + 1}\.{theirs}\.', f'stages.{i}.downsample.{ours}.')
                for i in (1, 2, 3)
                for theirs, ours in (('projection', 'conv'), ('norm', 'norm'))
            ),
            *((rf'^blocks{i + 1}\.', f'stages.{i}.blocks.') for i in range(4)),
            (r'\.value\.DW_conv', '.orders.'),
            (r'\.value\.PW_conv\.', '.value.'),
            (r'\.proj_([12])\.', r'.proj\1.'),
            (r'\.sigma\.scale$', '.sigma_scale'),
        ),
    )

    def __init__(
        self,
        arch: str | dict,
        *,
        drop_path_rate: float = 0.0,
        out_indices: tuple[int, ...] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            arch,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        dims, ratios = self.arch['dims'], self.arch['mlp_ratios']
        rates = drop_path_schedule(drop_path_rate, self.arch['depths'])
        self.stem = Stem(dims[0])
        self.stages = nn.ModuleList(
            Stage(
                Downsample(dims[i - 1], dims[i]) if i else nn.Identity(),
                [Block(dims[i], ratios[i], drop_path=rate) for rate in rates[i]],
            )
            for i in range(self.depth)
        )
        for name, dim in zip(self.NORM_NAMES[: self.depth], dims):
            self.add_module(name, nn.BatchNorm2d(dim))
        self.freeze()

    def forward_levels(self, x: Tensor) -> tuple[Tensor, ...]:
        x, levels = self.stem(to_fast_layout(x)), []
        for i in range(self.depth):
            x = self.get_submodule(self.NORM_NAMES[i])(self.forward_stage(i, x))
            if i in self.out_indices:
                levels.append(x)
        return tuple(levels)

    def frozen_modules(self) -> Iterator[nn.Module]:
        yield from super().frozen_modules()
        for name in self.NORM_NAMES[: max(self.frozen_stages, 0)]:
            yield self.get_submodule(name)

    def init_from_scratch(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] ** 2 * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
                nn.init.zeros_(module.bias)
        for name, parameter in self.named_parameters():
            if 'scale' in name.rsplit('.', 1)[-1]:
                nn.init.constant_(parameter, SCALE)
