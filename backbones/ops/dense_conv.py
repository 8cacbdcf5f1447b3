"""Dense convolution, with faster forms where oneDNN is slow in training on CPUs."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops import _activations
from backbones.ops._autograd import cast_as_autocast
from backbones.ops.dispatch import PLAIN, computed_in, form, once_differentiable, pick

ROWS = 4096  # positions in a strip; with few channels they fit a core's L2 cache
CHANNELS = 16  # with fewer, such as an image's three, products are slower than the library


def dense_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: int = 1,
    padding: int = 0,
    transposed: bool = False,
    gelu: bool = False,
    backend: str = 'auto',
) -> Tensor:
    """Convolve a map, with every output channel computed from all input channels.

    Args:
        x: (B, C, H, W).
        weight: (C', C, k, k), or (C, C', k, k) if `transposed`, as PyTorch stores them.
        bias: (C'), None for zeros.
        stride, padding: in cells.
        transposed: use the transposed convolution, which enlarges the map `stride` times.
        gelu: convolve gelu(x) instead of x.
        backend: 'plain' is the library's convolution. 'products' differs in training: the weight
            gradient is a sum of k^2 matrix products of shifted maps, best on channels_last maps,
            and gelu(x) is recomputed instead of stored. 'auto' uses it from `CHANNELS` channels on,
            where the gradient takes 0.2 to 0.9 of the library's time (oneDNN 3.10, AVX2, float32,
            channels_last, 16 to 384 channels, kernels of 2 to 5 cells). In bfloat16 it does not:
            with AMX, a whole step would take 1.3 to 2.9 times as long (32 to 256 channels).

    Returns:
        (B, C', floor((H + 2 padding - k) / stride) + 1, likewise W), or if `transposed`
        (B, C', (H - 1) stride - 2 padding + k, likewise W).

    Raises:
        ValueError: the backend is unknown.
    """
    auto = form('dense_conv', x)
    training = torch.is_grad_enabled() and weight.requires_grad
    if not training or x.shape[1] < CHANNELS or computed_in(x) is torch.bfloat16:
        auto = PLAIN
    convolve = pick(backend, {PLAIN: _plain, 'products': _products}, auto)
    return convolve(x, weight, bias, stride, padding, transposed, gelu)


def _plain(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    transposed: bool,
    gelu: bool,
) -> Tensor:
    convolve = F.conv_transpose2d if transposed else F.conv2d
    return convolve(_activations.gelu(x) if gelu else x, weight, bias, stride, padding)


def _products(x: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
    x, weight = cast_as_autocast(x, weight)
    bias = bias if bias is None else bias.to(weight.dtype)
    return _Products.apply(x, weight, bias, *options)


class _Products(torch.autograd.Function):
    """`_plain` with the weight gradient of `_weight_gradient`."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.options = options  # in the order of `_plain`
        return _plain(x, weight, bias, *options)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        stride, padding, transposed, gelu = ctx.options
        values = _activations.gelu(x) if gelu else x
        sizes = [stride] * 2, [padding] * 2, [1, 1], transposed, [0, 0], 1
        dx = dw = None
        if wants_x:
            wanted = [True, False, False]
            dx = torch.ops.aten.convolution_backward(grad, values, weight, None, *sizes, wanted)[0]
            dx = _activations.gelu_gradient(dx, x) if gelu else dx
        if wants_weight:
            # a transposed convolution is the other one's gradient: the maps swap places
            small, large = (values, grad) if transposed else (grad, values)
            dw = _weight_gradient(small, large, weight, stride, padding)
        db = grad.sum((0, 2, 3)) if wants_bias else None
        return dx, dw, db, *[None] * len(ctx.options)


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Compute a convolution's weight gradient from grad (B, C', h, w) and x (B, C, H, W).

    The padded x is cut into stride^2 planes of every stride-th row and column. A tap of the kernel
    multiplies grad with one plane, as flat sequences of positions that differ by an offset. For
    this, grad is padded to the size of the planes; its zeros cancel positions that wrap around.
    """
    (C_out, C, k, _), (_, _, h, w) = weight.shape, grad.shape
    beyond = (k - 1) // stride  # cells of a plane that taps reach beyond grad's last
    H, W = h + beyond, w + beyond
    x, grad = x.permute(0, 2, 3, 1), grad.permute(0, 2, 3, 1)
    right, bottom = W * stride - padding - x.shape[2], H * stride - padding - x.shape[1]
    x = F.pad(x, (0, 0, padding, right, padding, bottom))
    grad = F.pad(grad, (0, 0, 0, beyond, 0, beyond)).reshape(-1, C_out)
    firsts = range(min(stride, k))
    planes = {(a, b): x[:, a::stride, b::stride].reshape(-1, C) for a in firsts for b in firsts}
    wide = torch.promote_types(weight.dtype, torch.float32)
    taps = torch.zeros(k, k, C_out, C, dtype=wide)
    for start in range(0, len(grad), ROWS):
        for i in range(k):
            for j in range(k):
                offset = i // stride * W + j // stride
                cells = planes[i % stride, j % stride][start + offset : start + offset + ROWS]
                taps[i, j] += grad[start : start + len(cells)].T @ cells
    return torch.empty_like(weight).copy_(taps.permute(2, 3, 0, 1))
