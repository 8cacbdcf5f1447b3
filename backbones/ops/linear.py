"""Linear layer, optionally followed by GELU."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops.dispatch import PLAIN, form, once_differentiable, pick

# Inductor calls this private function; a release of PyTorch may drop it
AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, '_linear_pointwise')


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False, backend: str = 'auto'
) -> Tensor:
    """Compute weight x + bias, or gelu of it.

    Args:
        x: (..., C).
        weight: (h, C), of any strides.
        bias: (h), None for zeros.
        gelu: apply the exact GELU.
        backend: 'plain' is the library's linear layer. 'onednn' is one pass of oneDNN, and so is
            the gradient of `x`, where `_fuses` says so, and 'plain' elsewhere. They take 0.80 to
            0.97 and 0.66 to 0.94 of the time of 'plain' (AMD EPYC with AVX-512, one thread, oneDNN
            3.10, MKL 2024.2, 256 to 16384 positions, 48 to 2048 channels).

    Returns:
        (..., h).

    Raises:
        ValueError: the backend is unknown.
    """
    fast = _onednn if _fuses(x, weight) else _plain
    return pick(backend, {PLAIN: _plain, 'onednn': fast}, 'onednn')(x, weight, bias, gelu)


def _fuses(x: Tensor, weight: Tensor) -> bool:
    """Return whether oneDNN applies bias and GELU while the product is in the cache.

    It does so in float32 on CPUs. PyTorch writes the bias to the output first and reads it again,
    and multiplies with MKL, which does not use AVX-512 on AMD processors.
    """
    return AVAILABLE and x.dtype is weight.dtype and form('linear', x) == 'onednn'


def _plain(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
    x = F.linear(x, weight, bias)
    return F.gelu(x) if gelu else x


def _fused(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
    after = 'gelu' if gelu else 'none'
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], 'none')


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
    tensors = (x, weight) if bias is None else (x, weight, bias)
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)):
        return _fused(x, weight, bias, gelu)
    rows = _Product.apply(x.reshape(-1, x.shape[-1]), weight, bias)
    x = rows.view(*x.shape[:-1], len(weight))  # outside: a view from inside is read-only
    return F.gelu(x) if gelu else x


class _Product(torch.autograd.Function):
    """`_fused` of (N, C) rows with gradients."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _fused(x, weight, bias, False)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        dx = linear(grad, weight.t(), None) if wants_x else None
        dw = grad.t() @ x if wants_weight else None
        return dx, dw, grad.sum(0) if wants_bias else None
