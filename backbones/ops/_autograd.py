"""What the autograd functions of several operators share."""

import torch
import torch.nn.functional as F
from torch import Tensor

COLUMNS = 3  # widest kernel for which oneDNN has a depthwise weight gradient


def cast_as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast what enters an autograd function as autocast casts what enters a convolution."""
    device = tensors[0].device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return tensors
    return tuple(t.to(torch.get_autocast_dtype(device)) for t in tensors)


def depthwise_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, *, stride: int = 1, wanted: bool = True
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Compute the gradients of a dense depthwise convolution's input, weight and bias.

    On CPUs the weights' gradient is computed `COLUMNS` kernel columns at a time.

    Args:
        grad: (B, C, ceil(H / stride), ceil(W / stride)), the gradient of the output.
        x: (B, C, H, W).
        weight: (C, 1, k, k).
        stride: in cells.
        wanted: whether the gradient of `x` is; None takes its place.

    Returns:
        The gradients of `x`, `weight` and the bias.
    """
    k = weight.shape[-1]
    if x.device.type != 'cpu' or k <= COLUMNS:
        return _backward(grad, x, weight, stride, k // 2, [wanted, True, True])
    grad, dx = _channels_last(grad), None
    if wanted:
        dx = _backward(grad, x, weight, stride, k // 2, [True, False, False])[0]
    x = F.pad(x, (k // 2, k // 2))
    span = stride * (grad.shape[-1] - 1)  # columns between a tap's first and last position
    dw = []
    for c, part in zip(range(0, k, COLUMNS), weight.split(COLUMNS, dim=-1)):
        columns = _channels_last(x[..., c : c + span + part.shape[-1]])
        dw.append(_backward(grad, columns, part, stride, 0, [False, True, False])[1])
    return dx, torch.cat(dw, dim=-1), grad.sum((0, 2, 3))


def _backward(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, columns: int, wanted: list[bool]
) -> tuple[Tensor | None, ...]:
    """The library's gradients, the map padded by k // 2 rows and `columns` columns."""
    C, _, k, _ = weight.shape
    return torch.ops.aten.convolution_backward(
        grad, x, weight, [C], [stride] * 2, [k // 2, columns], [1, 1], False, [0, 0], C, wanted
    )


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
