"""Generic layers that two or more backbones share, none of which belongs to a single paper."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.errors import UserError
from backbones.ops import _activations
from backbones.ops._bfloat16 import exact, is_wrong
from backbones.ops._convolutions import is_dense, is_depthwise
from backbones.ops._watchers import is_plain, remember_layers
from backbones.ops.attention import attention
from backbones.ops.dense_conv import dense_conv
from backbones.ops.depthwise_conv import depthwise_conv
from backbones.ops.dispatch import Layer, dispatched
from backbones.ops.linear import linear
from backbones.ops.mlp import mlp
from backbones.ops.pointwise import pointwise

torch.fx.wrap('attention')  # torch.fx need not trace into it
POINTWISE = (1, 1), (1, 1), (0, 0)  # kernel, stride and padding of a 1x1 convolution


def nhwc(x: Tensor) -> Tensor:
    """View a (B, C, H, W) map as (B, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def nchw(x: Tensor) -> Tensor:
    """View a (B, H, W, C) map as (B, C, H, W)."""
    return x.permute(0, 3, 1, 2)


class DropPath(nn.Module):
    """In training, zero a branch for randomly chosen images, and scale it up for the others.

    Maps have four axes, the first of which is the batch.

    Args:
        drop_prob: probability of dropping an image's branch.

    Raises:
        UserError: `drop_prob` is not a probability below 1.

    Source: Deep Networks with Stochastic Depth (arXiv:1603.09382), Sec. 3; scaling by 1 / (1 - p)
        in training, instead of by 1 - p in inference, follows timm and mmcv.
    """

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        if not 0 <= drop_prob < 1:
            raise UserError(f'drop_prob is {drop_prob}; allowed: a probability in [0, 1)')
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.drop_prob):
            return x
        keep = 1 - self.drop_prob
        # drawn as in mmcv, so that a seed gives the same training run
        drawn = keep + torch.rand_like(x[:, :1, :1, :1])
        return x.div(keep) * drawn.floor()

    def extra_repr(self) -> str:
        return f'drop_prob={self.drop_prob:.3g}'


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` whose gradients are right in bfloat16 on CPUs.

    There, PyTorch 2.11 sums up the gradients of weight and bias in bfloat16, where a sum stops
    growing once it is 256 times as large as its terms: on a large map, it loses most of them.
    """

    def forward(self, x: Tensor) -> Tensor:
        # `x` is not a tensor while torch.fx traces
        training = torch.is_grad_enabled() and isinstance(x, Tensor) and x.device.type == 'cpu'
        if not training or x.dtype is not torch.bfloat16:
            return super().forward(x)
        weight, bias = (p if p is None else p.float() for p in (self.weight, self.bias))
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).bfloat16()


class LayerNorm2d(LayerNorm):
    """Layer normalisation over the channels of every position of a (B, C, H, W) map.

    timm.layers has one as well, but the core needs only PyTorch.
    """

    def forward(self, x: Tensor) -> Tensor:
        return nchw(super().forward(nhwc(x)))


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm` that can follow frozen layers on channels_last maps.

    There, the backward pass of PyTorch 2.11 crashes on CPUs if the norm needs a gradient and the
    map does not.
    """

    def forward(self, x: Tensor) -> Tensor:
        # `x` is not a tensor while torch.fx traces
        training = torch.is_grad_enabled() and isinstance(x, Tensor)
        if training and self.weight.requires_grad and not x.requires_grad:
            x = x.contiguous()
        return super().forward(x)


def parameters(layer: nn.Conv2d | nn.Linear) -> tuple[Tensor, Tensor | None]:
    """Return a layer's weight and bias."""
    return layer.weight, layer.bias


def biased(layer: nn.Conv2d | nn.Linear) -> Layer:
    """Return a layer's weight and bias, with zeros for a bias that was removed."""
    bias = layer.bias
    return layer.weight, layer.weight.new_zeros(len(layer.weight)) if bias is None else bias


def depthwise(conv: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    """Return the fast form of a depthwise convolution, or itself if it has none.

    See `depthwise_conv`.
    """
    if not is_depthwise(conv):
        return conv
    options = dict(stride=conv.stride[0], dilation=conv.dilation[0])
    weight, bias = biased(conv)
    return functools.partial(depthwise_conv, weight=weight, bias=bias, **options)


def convolve(conv: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, *, gelu: bool = False) -> Tensor:
    """Convolve x, or gelu(x), in the fast form if the layer has one. See `dense_conv`."""
    if not is_dense(conv) or is_wrong(conv, x):
        return exact(conv)(_activations.gelu(x) if gelu else x)
    return dense_conv(
        x,
        *parameters(conv),
        stride=conv.stride[0],
        padding=conv.padding[0],
        transposed=isinstance(conv, nn.ConvTranspose2d),
        gelu=gelu,
    )


class Convolutions(nn.Sequential):
    """Dense convolutions with norms and activations between them, (B, C, H, W) -> (B, C', ...)."""

    def __init__(self, *layers: Any) -> None:
        super().__init__(*layers)
        remember_layers(self)

    @dispatched('dense_conv', 'pointwise')
    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = exact(layer)(x) if isinstance(layer, nn.Conv2d) else layer(x)
        return x

    def fast_forward(self, x: Tensor) -> Tensor:
        """Compute the same, fusing each GELU into the next convolution. See `dense_conv`."""
        waits = False  # whether a GELU does, for the next convolution
        for before, layer in zip((None, *self), self):
            dense = isinstance(layer, nn.Conv2d) and is_dense(layer)
            single = dense and (layer.kernel_size, layer.stride, layer.padding) == POINTWISE
            if waits and (single or not dense):
                x, waits = _activations.gelu(x), False
            if is_plain(layer, nn.GELU) and layer.approximate == 'none':
                waits = True
            elif is_plain(layer, nn.ReLU) and is_plain(before, nn.BatchNorm2d):
                x = x.relu_()  # in place: the gradient of the norm does not need x
            elif single:
                x = pointwise(x, *parameters(layer))
            elif dense:
                x, waits = convolve(layer, x, gelu=waits), False
            else:
                x = layer(x)
        return _activations.gelu(x) if waits else x


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them, on (..., dim) features. See `mlp`."""

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, int(dim * ratio))
        self.act = nn.GELU()
        self.fc2 = nn.Linear(int(dim * ratio), dim)
        remember_layers(self)

    @dispatched('mlp')
    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))

    def fast_forward(self, x: Tensor) -> Tensor:
        return mlp(x, biased(self.fc1), biased(self.fc2))


class SelfAttention(nn.Module):
    """Global multi-head self-attention over all positions of a (B, H, W, dim) map.

    softmax(q k^T / sqrt(dim / heads)) v, without mask or position bias; the output channels of
    `qkv` are q, k, v in this order, each with its `heads` heads one after another.
    """

    def __init__(self, dim: int, heads: int, *, qkv_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        remember_layers(self)

    @dispatched('linear', calls=('attention',))
    def forward(self, x: Tensor) -> Tensor:
        return self.proj(self.mix(self.qkv(x)))

    def fast_forward(self, x: Tensor) -> Tensor:
        return linear(self.mix(linear(x, *parameters(self.qkv))), *parameters(self.proj))

    def mix(self, qkv: Tensor) -> Tensor:
        """Attend: (B, H, W, 3 dim) -> (B, H, W, dim)."""
        B, H, W, C = qkv.shape
        qkv = qkv.reshape(B, H * W, 3, self.heads, C // 3 // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, HW, d)
        return attention(q, k, v).transpose(1, 2).reshape(B, H, W, C // 3)


class TransformerBlock(nn.Module):
    """Attention and MLP, each behind a norm and a residual of (B, H, W, dim)."""

    def __init__(self, attn: nn.Module, dim: int, mlp_ratio: float, *, drop_path: float) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.attn = attn
        self.norm2 = LayerNorm(dim)
        self.mlp = Mlp(dim, mlp_ratio)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def drop_path_schedule(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Return stochastic-depth probabilities by stage, rising linearly from 0 to `rate`.

    timm's `calculate_drop_path_rates` reads them from a tensor, which has no values when a model is
    built only to count its operations (`FakeTensorMode`).

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
    """Draw linear weights from a normal of std 0.02, cut at +-2 (absolute), and zero the biases.

    Args:
        model: its `nn.Linear` modules are re-initialised in place.
        skip: returns whether the linear layer of a given name keeps PyTorch's default.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not skip(name):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
