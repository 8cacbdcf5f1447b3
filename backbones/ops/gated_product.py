"""Gating of MogaNet's spatial blocks (arXiv:2211.03295, Sec. 4.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops.dispatch import PLAIN, form, once_differentiable, pick


def gated_product(gate: Tensor, value: Tensor, *, backend: str = 'auto') -> Tensor:
    """Compute silu(gate) silu(value), element by element.

    Args:
        gate, value: tensors of the same shape and dtype.
        backend: 'plain' stores both factors and the arguments for the backward pass, 'recompute'
            only the arguments.

    Returns:
        A tensor of the same shape.

    Raises:
        ValueError: the backend is unknown.

    Source: Sec. 4.2; github.com/Westlake-AI/MogaNet.
    """
    forms = {PLAIN: _plain, 'recompute': _Recompute.apply}
    return pick(backend, forms, form('gated_product', gate))(gate, value)


def _plain(gate: Tensor, value: Tensor) -> Tensor:
    return F.silu(gate) * F.silu(value)


class _Recompute(torch.autograd.Function):
    """`_plain` that stores only its arguments."""

    @staticmethod
    def forward(ctx, gate: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(gate, value)
        return F.silu(gate).mul_(F.silu(value))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, value = ctx.saved_tensors
        return (
            torch.ops.aten.silu_backward(F.silu(value).mul_(grad), gate),
            torch.ops.aten.silu_backward(F.silu(gate).mul_(grad), value),
        )
