"""Autograd functions and gradients that several operators share."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops import _strips
from backbones.ops.dispatch import once_differentiable
from backbones.ops.linear import linear

COLUMNS = 3  # widest kernel for which oneDNN has a depthwise weight gradient


def cast_as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast the inputs of an autograd function like autocast casts those of a convolution.

    It leaves double precision alone.
    """
    device = tensors[0].device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(t if t.dtype is torch.float64 else t.to(dtype) for t in tensors)


class GeluLinear(torch.autograd.Function):
    """A linear layer of gelu(x) that stores only x."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return linear(F.gelu(x), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, ...]:
        x, weight = ctx.saved_tensors
        rows = grad.reshape(-1, grad.shape[-1])
        dw = rows.t() @ F.gelu(x).reshape(-1, x.shape[-1])
        dx = linear(grad, weight.t(), None)
        return torch.ops.aten.gelu_backward(dx, x), dw, rows.sum(0)


def depthwise_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, *, stride: int = 1, wanted: bool = True
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Compute the gradients of an undilated depthwise convolution's input, weight and bias.

    On CPUs, the weight gradient of a wide kernel is computed in parts; see `_by_columns`.

    Args:
        grad: (B, C, ceil(H / stride), ceil(W / stride)), the gradient of the output.
        x: (B, C, H, W).
        weight: (C, 1, k, k).
        stride: stride in cells.
        wanted: compute the gradient of `x`; otherwise it is None.

    Returns:
        The gradients of `x`, `weight` and the bias.
    """
    k = weight.shape[-1]
    if x.device.type != 'cpu' or k <= COLUMNS:
        return _backward(grad, x, weight, stride, k // 2, [wanted, True, True])
    grad, dx = grad.contiguous(memory_format=torch.channels_last), None
    if wanted:
        dx = _backward(grad, x, weight, stride, k // 2, [True, False, False])[0]
    return dx, _by_columns(grad, x, weight, stride), grad.sum((0, 2, 3))


def _by_columns(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Compute the weight gradient by `COLUMNS` kernel columns and a strip of rows at a time."""
    (B, C, H, W), k, (h, w) = x.shape, weight.shape[-1], grad.shape[-2:]
    x = x.permute(0, 2, 3, 1)
    span = stride * (w - 1)  # columns between a tap's first and last position
    rows = max(_strips.STRIP // max(B * C * W, 1), k)
    dw = torch.zeros_like(weight)
    for start in range(0, h, rows):
        part = grad[:, :, start : start + rows]
        first = stride * start - k // 2  # row of x that the strip's first tap reads
        end = first + stride * (part.shape[2] - 1) + k
        beyond = max(-first, 0), max(end - H, 0)
        strip = F.pad(x[:, max(first, 0) : end], (0, 0, k // 2, k // 2, *beyond))
        for c in range(0, k, COLUMNS):
            kernel = weight[..., c : c + COLUMNS]
            cells = strip[:, :, c : c + span + kernel.shape[-1]].contiguous().permute(0, 3, 1, 2)
            dw[..., c : c + COLUMNS] += _backward(
                part, cells, kernel, stride, 0, [False, True, False]
            )[1]
    return dw


def _backward(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, wanted: list[bool]
) -> tuple[Tensor | None, ...]:
    """Compute the library's gradients."""
    C = len(weight)
    return torch.ops.aten.convolution_backward(
        grad, x, weight, [C], [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], C, wanted
    )
