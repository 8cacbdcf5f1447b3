"""Depthwise convolution, with fast forms that oneDNN lacks for large and dilated kernels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops._autograd import COLUMNS, cast_as_autocast, depthwise_gradients
from backbones.ops.dispatch import PLAIN, form, once_differentiable, pick


def depthwise_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    stride: int = 1,
    dilation: int = 1,
    backend: str = 'auto',
) -> Tensor:
    """Convolve every channel with its own kernel, zero-padded by dilation * (k // 2).

    Args:
        x: (B, C, H, W).
        weight: (C, 1, k, k), k odd.
        bias: (C).
        stride: stride in cells; 1 if the kernel is dilated.
        dilation: dilation in cells.
        backend: 'plain' is the library's convolution. 'split' computes a kernel of dilation 3 or
            more as an undilated one on each of the dilation^2 interleaved subgrids of the map, and
            the weight gradient of wide kernels by groups of 3 columns; best on channels_last maps.
            On CPUs, a 7x7 kernel of dilation 3 is 3 to 6 times as fast, and the gradients of a 5x5
            kernel 2 to 3 times (oneDNN 3.10, AVX-512, float32). In bfloat16, it starts at dilation
            2, where oneDNN's weight gradient is noise on channels_last maps.

    Returns:
        (B, C, ceil(H / stride), ceil(W / stride)).

    Raises:
        ValueError: both stride and dilation exceed 1, or the backend is unknown.
    """
    if stride > 1 and dilation > 1:
        raise ValueError(f'stride is {stride} and dilation is {dilation}; one of them must be 1')
    convolve = pick(backend, {PLAIN: _plain, 'split': _split}, form('depthwise_conv', x))
    return convolve(x, weight, bias, stride, dilation)


def _plain(x: Tensor, weight: Tensor, bias: Tensor, stride: int, dilation: int) -> Tensor:
    padding = dilation * (weight.shape[-1] // 2)
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups=x.shape[1])


def _split(x: Tensor, weight: Tensor, bias: Tensor, stride: int, dilation: int) -> Tensor:
    x, weight, bias = cast_as_autocast(x, weight, bias)
    training = torch.is_grad_enabled() and weight.requires_grad
    if dilation > (1 if training and x.dtype is torch.bfloat16 else 2):  # no gain at 2
        return _on_subgrids(x, weight, bias, dilation)
    if not training or dilation > 1 or weight.shape[-1] <= COLUMNS:
        return _plain(x, weight, bias, stride, dilation)
    return _ByColumns.apply(x, weight, bias, stride)


def _on_subgrids(x: Tensor, weight: Tensor, bias: Tensor, d: int) -> Tensor:
    B, C, H, W = x.shape
    h, w = -(-H // d), -(-W // d)
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, w * d - W, 0, h * d - H))
    x = x.reshape(B, h, d, w, d, C).permute(2, 4, 0, 1, 3, 5)  # (d, d, B, h, w, C)
    x = _split(x.reshape(-1, h, w, C).permute(0, 3, 1, 2), weight, bias, 1, 1)
    x = x.permute(0, 2, 3, 1).reshape(d, d, B, h, w, C).permute(2, 3, 0, 4, 1, 5)
    return x.reshape(B, h * d, w * d, C)[:, :H, :W].permute(0, 3, 1, 2)


class _ByColumns(torch.autograd.Function):
    """`_plain` of an undilated kernel, with the gradients of `depthwise_gradients`."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _plain(x, weight, bias, stride, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[0]
        return *depthwise_gradients(
            grad, *ctx.saved_tensors, stride=ctx.stride, wanted=wanted
        ), None
