"""Linear layer, optionally followed by an activation."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops._activations import Act, activated, check_act
from backbones.ops.dispatch import PLAIN, computed_in, form, once_differentiable, pick

# Inductor calls these private functions; a release of PyTorch may drop them
ONEDNN = torch.ops.mkldnn
AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(ONEDNN, '_linear_pointwise')
BFLOAT16 = AVAILABLE and ONEDNN._is_mkldnn_bf16_supported()
AFTER = {None: 'none', 'gelu': 'gelu', 'silu': 'swish'}  # oneDNN's names


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, act: Act = None, backend: str = 'auto'
) -> Tensor:
    """Compute act(weight x + bias).

    Args:
        x: (..., C).
        weight: (h, C), of any strides.
        bias: (h), None for zeros.
        act: 'gelu', the exact one, 'silu', or None.
        backend: 'plain' is the library's linear layer. 'onednn' is one pass of oneDNN, and so is
            the gradient of `x`, where `_fuses` says so, and 'plain' elsewhere. They take 0.80 to
            0.97 and 0.66 to 0.94 of the time of 'plain' (AMD EPYC with AVX-512, one thread, oneDNN
            3.10, MKL 2024.2, 256 to 16384 positions, 48 to 2048 channels).

    Returns:
        (..., h).

    Raises:
        ValueError: the activation or the backend is unknown.
    """
    check_act(act)
    fast = _onednn if _fuses(x, weight, bias) else _plain
    return pick(backend, {PLAIN: _plain, 'onednn': fast}, 'onednn')(x, weight, bias, act)


def _fuses(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Return whether oneDNN applies bias and activation while the product is in the cache.

    It does so on CPUs, in float32 and, without gradients, in bfloat16. PyTorch writes the bias to
    the output first and reads it again, and multiplies with MKL, which does not use AVX-512 on AMD
    processors.
    """
    dtype = computed_in(x)
    if not AVAILABLE or computed_in(weight) is not dtype or form('linear', x) != 'onednn':
        return False
    return dtype is torch.float32 or (BFLOAT16 and not _wants_gradient(x, weight, bias))


def _wants_gradient(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def _plain(x: Tensor, weight: Tensor, bias: Tensor | None, act: Act) -> Tensor:
    return activated(F.linear(x, weight, bias), act)


def _fused(x: Tensor, weight: Tensor, bias: Tensor | None, act: Act) -> Tensor:
    return ONEDNN._linear_pointwise(x, weight, bias, AFTER[act], [], 'none')


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None, act: Act) -> Tensor:
    if not _wants_gradient(x, weight, bias):
        dtype = computed_in(x)  # like autocast
        bias = bias if bias is None else bias.to(dtype)
        return _fused(x.to(dtype), weight.to(dtype), bias, act)
    rows = _Product.apply(x.reshape(-1, x.shape[-1]), weight, bias)
    x = rows.view(*x.shape[:-1], len(weight))  # outside: a view from inside is read-only
    return activated(x, act)


class _Product(torch.autograd.Function):
    """`_fused` of (N, C) rows with gradients."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _fused(x, weight, bias, None)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        dx = linear(grad, weight.t(), None) if wants_x else None
        dw = grad.t() @ x if wants_weight else None
        return dx, dw, grad.sum(0) if wants_bias else None
