"""The generic parts that two or more backbones share. Nothing here belongs to one paper."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from backbones.errors import UserError
from backbones.ops.attention import attention
from backbones.ops.dense_conv import dense_conv
from backbones.ops.depthwise_conv import depthwise_conv
from backbones.ops.linear import linear
from backbones.ops.mlp import mlp
from backbones.ops.pointwise import pointwise

__all__ = [
    'DenseConv2d',
    'DepthwiseConv2d',
    'DropPath',
    'LayerNorm2d',
    'Linear',
    'Mlp',
    'PointwiseConv2d',
    'SelfAttention',
    'drop_path_schedule',
    'init_linears',
    'nchw',
    'nhwc',
    'parameters',
]


def nhwc(x: Tensor) -> Tensor:
    """View a (B, C, H, W) map as (B, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def nchw(x: Tensor) -> Tensor:
    """View a (B, H, W, C) map as (B, C, H, W)."""
    return x.permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """Set a branch to zero for whole images at random in training, and scale up those that stay.

    Args:
        drop_prob: probability of an image's branch being dropped.

    Source: Deep Networks with Stochastic Depth (arXiv:1603.09382), Sec. 3; the scale by 1 / (1 - p)
        in training, instead of p in inference, is timm's and mmcv's.
    """

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.drop_prob):
            return x
        keep = 1 - self.drop_prob
        # as mmcv draws it, so that a seed gives the same training run
        drawn = keep + torch.rand((x.shape[0], *[1] * (x.ndim - 1)), dtype=x.dtype, device=x.device)
        return x.div(keep) * drawn.floor()

    def extra_repr(self) -> str:
        return f'drop_prob={self.drop_prob:.3g}'


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of every position of a (B, C, H, W) map.

    timm.layers has it, too, but brings torchvision along: `import backbones` would take twice as
    long, and fail without a word of what to do where torchvision does not fit torch.
    """

    def forward(self, x: Tensor) -> Tensor:
        return nchw(super().forward(nhwc(x)))


class Linear(nn.Linear):
    """Linear layer on (..., in_features). See `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class DenseConv2d(nn.Conv2d):
    """Zero-padded convolution of all channels, of gelu(x) if `gelu`. See `dense_conv`."""

    def __init__(
        self,
        dim: int,
        out: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        *,
        bias: bool = True,
        gelu: bool = False,
    ) -> None:
        super().__init__(dim, out, kernel_size, stride, padding, bias=bias)
        self.gelu = gelu

    def forward(self, x: Tensor) -> Tensor:
        options = dict(stride=self.stride[0], padding=self.padding[0], gelu=self.gelu)
        return dense_conv(x, self.weight, self.bias, **options)


class PointwiseConv2d(nn.Conv2d):
    """1x1 convolution. See `pointwise`."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__(dim, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias)


class DepthwiseConv2d(nn.Conv2d):
    """Zero-padded convolution of every channel with its own kernel. See `depthwise_conv`."""

    def __init__(self, dim: int, kernel_size: int, *, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (kernel_size // 2)
        super().__init__(dim, dim, kernel_size, stride, padding, dilation, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        return depthwise_conv(
            x, self.weight, self.bias, stride=self.stride[0], dilation=self.dilation[0]
        )


def parameters(layer: nn.Conv2d | nn.Linear) -> tuple[Tensor, Tensor]:
    """Return a layer's weight and bias, as operators take them."""
    return layer.weight, layer.bias


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them, on (..., dim) features. See `mlp`."""

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        self.fc1 = Linear(dim, int(dim * ratio))
        self.fc2 = Linear(int(dim * ratio), dim)

    def forward(self, x: Tensor) -> Tensor:
        return mlp(x, parameters(self.fc1), parameters(self.fc2))


class SelfAttention(nn.Module):
    """Global multi-head self-attention over all positions of a (B, H, W, dim) map.

    softmax(q k^T / sqrt(dim / heads)) v, without mask or position bias; the projection's output
    channels are q, k, v in this order, each of `heads` consecutive heads.
    """

    def __init__(self, dim: int, heads: int, *, qkv_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        B, H, W, C = x.shape
        qkv = self.qkv(x).view(B, H * W, 3, self.heads, C // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, HW, d)
        x = attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(B, H, W, C))


def drop_path_schedule(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Stochastic-depth probabilities, 0 for the first block rising linearly to `rate`, by stage.

    timm's `calculate_drop_path_rates` reads them from a tensor, which has no values where a model
    is built to be counted only (`FakeTensorMode`).

    Args:
        rate: probability of dropping the last block's branches, in [0, 1).
        depths: blocks per stage.

    Raises:
        UserError: `rate` is not a probability below 1.

    Source: Deep Networks with Stochastic Depth (arXiv:1603.09382), Sec. 3; all five papers use it.
    """
    if not 0 <= rate < 1:
        raise UserError(f'drop_path_rate is {rate}; allowed: a probability in [0, 1)')
    last = max(sum(depths) - 1, 1)
    ramp = (rate * i / last for i in range(sum(depths)))
    return [[next(ramp) for _ in range(depth)] for depth in depths]


def init_linears(model: nn.Module, *, skip: Callable[[str], bool] = lambda name: False) -> None:
    """Draw linear weights from a normal of std 0.02 cut at +-2 (absolute) and zero their biases.

    Args:
        model: its `nn.Linear` modules are re-initialised in place.
        skip: names of the linear layers that keep PyTorch's default.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not skip(name):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
