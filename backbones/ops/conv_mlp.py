"""Feed-forward network with a depthwise convolution (CloFormer, arXiv:2303.17803, Sec. 3.3)."""

import torch
from torch import Tensor

from backbones.ops._activations import gelu, gelu_gradient
from backbones.ops._autograd import cast_as_autocast, depthwise_gradients
from backbones.ops._strips import by_strips
from backbones.ops.depthwise_conv import depthwise_conv
from backbones.ops.dispatch import Layer, form, once_differentiable, pick
from backbones.ops.pointwise import pointwise


def conv_mlp(
    x: Tensor, fc1: Layer, dwconv: Layer, fc2: Layer, *, stride: int = 1, backend: str = 'auto'
) -> Tensor:
    """Compute fc2(dwconv(gelu(fc1(x)))).

    Args:
        x: (B, C, H, W).
        fc1, dwconv, fc2: 1x1 convolution C -> h, depthwise k x k convolution, 1x1 convolution
            h -> C'.
        stride: stride of the depthwise convolution, 1 or 2 cells.
        backend: 'recompute' stores two maps of h channels for the backward pass, instead of the
            three of a layer-by-layer form, and recomputes gelu; 'strips' stores a few of their rows
            at a time, useful only without gradients.

    Returns:
        (B, C', ceil(H / stride), ceil(W / stride)).

    Raises:
        ValueError: the backend is unknown.
    """
    run = pick(backend, {'recompute': _recompute, 'strips': _strips}, form('conv_mlp', x))
    return run(x, fc1, dwconv, fc2, stride)


def _recompute(x: Tensor, fc1: Layer, dwconv: Layer, fc2: Layer, stride: int) -> Tensor:
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *fc1, *dwconv)):
        x = _GeluConv.apply(*cast_as_autocast(pointwise(x, *fc1), *dwconv), stride)
    else:
        x = depthwise_conv(pointwise(x, *fc1, act='gelu'), *dwconv, stride=stride)
    return pointwise(x, *fc2)


def _strips(x: Tensor, fc1: Layer, dwconv: Layer, fc2: Layer, stride: int) -> Tensor:
    width, _, kernel_size, _ = dwconv[0].shape
    halo = -(-(kernel_size // 2) // stride) * stride
    return by_strips(
        lambda strip: _recompute(strip, fc1, dwconv, fc2, stride),
        x,
        width=width,
        halo=halo,
        stride=stride,
    )


class _GeluConv(torch.autograd.Function):
    """A depthwise convolution of gelu(x) that stores only x."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return depthwise_conv(gelu(x), weight, bias, stride=stride)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dx, dw, db = depthwise_gradients(grad, gelu(x), weight, stride=ctx.stride)
        return gelu_gradient(dx, x), dw, db, None
