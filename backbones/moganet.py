"""MogaNet (arXiv:2211.03295, ICLR 2024) as a four-level backbone."""

from collections import OrderedDict
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from backbones.checkpoints import PublishedKeys
from backbones.layers import Convolutions, DropPath, biased, depthwise, parameters
from backbones.ops._bfloat16 import exact
from backbones.ops._watchers import remember_layers
from backbones.ops.channel_aggregation import channel_aggregation
from backbones.ops.decompose_context import decompose_context
from backbones.ops.dispatch import dispatched
from backbones.ops.gated_product import gated_product
from backbones.ops.pointwise import pointwise
from backbones.pyramid import Pyramid
from backbones.registry import register
from backbones.stage import Stage
from backbones.timm_interface import FeatureInfo
from backbones.variants import Variant, rates

KERNELS, DILATIONS = (5, 5, 7), (1, 2, 3)
Convolution = Callable[[Tensor], Tensor]
SCALE = 1e-5  # initial layer scales and decomposition factors, as in the published code


class Stem(Convolutions):
    """Two strided 3x3 convolutions, (B, in_channels, H, W) -> (B, dim, H/4, W/4), Sec. 4.4."""

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, dim // 2, 3, 2, 1),
            nn.BatchNorm2d(dim // 2),
            nn.GELU(),
            nn.Conv2d(dim // 2, dim, 3, 2, 1),
            nn.BatchNorm2d(dim),
        )


class Downsample(Convolutions):
    """A strided 3x3 convolution and a BatchNorm, Sec. 4.4."""

    def __init__(self, before: int, after: int) -> None:
        conv, norm = nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after)
        super().__init__(OrderedDict(conv=conv, norm=norm))


class SpatialAggregation(nn.Module):
    """Multi-order gated aggregation, Sec. 4.2.

    As in the published code, but not in the paper's equations, an output projection follows the
    gate, and the input is added to it.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj1 = nn.Conv2d(dim, dim, 1)
        self.sigma_scale = nn.Parameter(torch.full((1, dim, 1, 1), SCALE))
        self.gate = nn.Conv2d(dim, dim, 1)
        self.orders = nn.ModuleList(
            nn.Conv2d(c, c, k, padding=d * (k // 2), dilation=d, groups=c)
            for c, k, d in zip((dim, dim * 3 // 8, dim // 2), KERNELS, DILATIONS)
        )
        self.value = nn.Conv2d(dim, dim, 1)
        self.proj2 = nn.Conv2d(dim, dim, 1)
        self.act = nn.SiLU()
        remember_layers(self)

    @dispatched('pointwise', 'decompose_context', 'depthwise_conv', 'gated_product')
    def forward(self, x: Tensor) -> Tensor:
        context = self.proj1(x)
        mean = context.mean((2, 3), keepdim=True)
        context = self.act(context + self.sigma_scale * (context - mean))
        first, *others = self.orders
        value = self.value(self.multi_order(context, first, *map(exact, others)))
        return self.proj2(self.act(self.gate(context)) * self.act(value)) + x

    def fast_forward(self, x: Tensor) -> Tensor:
        context = decompose_context(x, biased(self.proj1), self.sigma_scale)
        value = self.multi_order(context, *map(depthwise, self.orders))
        # without gradients, SiLU is applied while the products are in the cache
        act = None if torch.is_grad_enabled() else 'silu'
        value = pointwise(value, *parameters(self.value), act=act)
        gate = pointwise(context, *parameters(self.gate), act=act)
        product = gated_product(gate, value) if act is None else gate.mul_(value)
        return pointwise(product, *parameters(self.proj2)) + x

    @staticmethod
    def multi_order(
        x: Tensor, first: Convolution, second: Convolution, third: Convolution
    ) -> Tensor:
        """Convolve all channels, then 3/8 and 1/2 of them at larger dilations, in order."""
        x = first(x)
        eighth = x.shape[1] // 8
        low, middle, high = x.split([eighth, 3 * eighth, 4 * eighth], dim=1)
        return torch.cat([low, second(middle), third(high)], dim=1)


class ChannelAggregation(nn.Module):
    """Feed-forward network with channel reallocation, Sec. 4.3. See `channel_aggregation`."""

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        hidden = int(dim * ratio)
        self.fc1 = nn.Conv2d(dim, hidden, 1)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.decompose = nn.Conv2d(hidden, 1, 1)
        self.sigma_scale = nn.Parameter(torch.full((1, hidden, 1, 1), SCALE))
        self.fc2 = nn.Conv2d(hidden, dim, 1)
        self.act = nn.GELU()
        remember_layers(self)

    @dispatched('channel_aggregation')
    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.dwconv(self.fc1(x)))
        x = x + self.sigma_scale * (x - self.act(self.decompose(x)))
        return self.fc2(x)

    def fast_forward(self, x: Tensor) -> Tensor:
        fc1, dwconv, decompose, fc2 = map(biased, (self.fc1, self.dwconv, self.decompose, self.fc2))
        return channel_aggregation(x, fc1, dwconv, decompose, self.sigma_scale, fc2)


class Block(nn.Module):
    """Spatial and channel aggregation, each a scaled residual of (B, dim, H, W), Sec. 4.1."""

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
        # not torch.addcmul: FSDP2 gets its gradients on channels_last maps wrong (PyTorch 2.11)
        x = x + self.layer_scale_1 * self.drop_path(self.attn(self.norm1(x)))
        return x + self.layer_scale_2 * self.drop_path(self.mlp(self.norm2(x)))


RELEASE = 'https://github.com/Westlake-AI/MogaNet/releases/download/moganet-in1k-weights/'


@register
class MogaNet(Pyramid):
    """MogaNet: gated depthwise convolutions of several dilations, no attention.

    See `Pyramid` for what all backbones share (levels, freezing, checkpoints, errors). The output
    norms are part of the main path: the next stage reads the normalised level. Every stage that is
    built therefore has its norm, whatever `out_indices` says.

    Args:
        arch: 'xtiny', 'tiny', 'small', 'base', 'large', 'xlarge' (Table A1), or a dict with `dims`
            (multiples of 8), `depths`, `mlp_ratios`.
        drop_path_rate: probability of dropping the last block's branches; ImageNet training used
            0.05, 0.1, 0.1, 0.2, 0.3, 0.4.

    Source: arXiv:2211.03295; github.com/Westlake-AI/MogaNet (classification and dense).
    """

    ARCHS = {
        arch: Variant(
            dims=dims,
            depths=depths,
            mlp_ratios=(8, 8, 4, 4),
            parameters=parameters,
            gmacs=gmacs,
            weights=f'{RELEASE}moganet_{arch}_sz224_8xbs{batch}_ep300.pth.tar',
            more_weights={'256 pixels': f'{RELEASE}moganet_{arch}_sz256_8xbs{batch}_ep300.pth.tar'}
            if arch in ('xtiny', 'tiny')
            else None,
            drop_path=rates(drop_path),
        )
        for arch, dims, depths, parameters, gmacs, batch, drop_path in (
            ('xtiny', (32, 64, 96, 192), (3, 3, 10, 2), 2_763_066, 0.7819, 128, 0.05),
            ('tiny', (32, 64, 128, 256), (3, 3, 12, 2), 4_940_332, 1.083, 128, 0.1),
            ('small', (64, 128, 320, 512), (2, 3, 12, 2), 24_822_675, 4.9308, 128, 0.1),
            ('base', (64, 160, 320, 512), (4, 6, 22, 3), 43_207_475, 9.8604, 128, 0.2),
            ('large', (64, 160, 320, 640), (4, 6, 44, 4), 81_839_978, 15.819, 64, 0.3),
            ('xlarge', (96, 192, 480, 960), (6, 6, 44, 4), 180_030_924, 34.394, 64, 0.4),
        )
    }
    NANO = dict(dims=(24, 48, 96, 192), depths=(1, 1, 2, 1), mlp_ratios=(4, 4, 4, 4))
    NORM_NAMES = ('norm1', 'norm2', 'norm3', 'norm4')
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

    def build_stem(self) -> nn.Module:
        return Stem(self.in_channels, self.arch['dims'][0])

    def build_stage(self, i: int, drop_path: list[list[float]]) -> Stage:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratios'][i]
        return Stage(
            Downsample(dims[i - 1], dims[i]) if i else nn.Identity(),
            [Block(dims[i], ratio, drop_path=rate) for rate in drop_path[i]],
            axes='BCHW',
        )

    def build_levels(self) -> None:
        for name, dim in zip(self.NORM_NAMES[: self.num_stages], self.arch['dims']):
            self.add_module(name, nn.BatchNorm2d(dim))

    @property
    def feature_info(self) -> FeatureInfo:
        """Name the norms, which emit the levels; timm's nets that run stages in turn then fail."""
        info = super().feature_info
        for stage, name in zip(info, self.NORM_NAMES):
            stage['module'] = name
        return info

    def forward_stage(self, i: int, x: Tensor) -> Tensor:
        return getattr(self, self.NORM_NAMES[i])(super().forward_stage(i, x))

    def forward_level(self, i: int, x: Tensor) -> Tensor:
        return x  # already normalised in the trunk

    def get_layer_depth(self, name: str, prefix: str = '') -> tuple[int, int]:
        """Return a parameter's layer, as published: 12 layers, whatever the variant's depth.

        Two blocks of stage 3 form one layer, all blocks from the 17th on share one, and the
        downsampling before that stage counts as a later layer than its first blocks. See
        `Pyramid.get_layer_depth`.
        """
        parts = name[len(prefix) :].split('.')
        if not name.startswith(prefix) or parts[0] not in ('stem', 'stages'):
            return 13, 14
        if parts[0] == 'stem':
            return 0, 14
        stage, kind = int(parts[1]), parts[2]
        if stage == 2 and kind == 'blocks':
            return min(3 + int(parts[3]) // 2, 11), 14
        return (2, 3, 4, 12)[stage], 14

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
