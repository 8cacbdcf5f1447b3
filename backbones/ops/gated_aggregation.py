"""Context decomposition and gating of MogaNet's spatial blocks (arXiv:2211.03295, Sec. 4.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops import pick
from backbones.ops.pointwise import pointwise

Layer = tuple[Tensor, Tensor]  # weight and bias of a 1x1 convolution


def decompose_context(x: Tensor, proj: Layer, sigma: Tensor, *, backend: str = 'auto') -> Tensor:
    """Project a map, a = proj(x), and stress what is not its mean: silu(a + sigma (a - mean(a))).

    Args:
        x: (B, C, H, W).
        proj: weight (C', C, 1, 1) and bias (C').
        sigma: (1, C', 1, 1).
        backend: 'reference' as the formula says, the mean over all positions of a sample. 'folded'
            moves sigma into the projection, a' = W (1 + sigma) x + b - W sigma mean(x), which saves
            three passes over the map and their storage; 'auto' takes it.

    Returns:
        (B, C', H, W).

    Raises:
        ValueError: an unknown backend.

    Source: the feature decomposition of Sec. 4.2, in the form of github.com/Westlake-AI/MogaNet.
    """
    decompose = pick(backend, {'reference': _decompose, 'folded': _decompose_folded}, 'folded')
    return decompose(x, *proj, sigma)


def _decompose(x: Tensor, weight: Tensor, bias: Tensor, sigma: Tensor) -> Tensor:
    x = F.conv2d(x, weight, bias)
    return F.silu(x + sigma * (x - x.mean((2, 3), keepdim=True)))


def _decompose_folded(x: Tensor, weight: Tensor, bias: Tensor, sigma: Tensor) -> Tensor:
    mean = x.permute(0, 2, 3, 1).mean((1, 2))  # this way round its gradient is channels_last
    shift = bias - sigma.flatten() * F.linear(mean, weight.flatten(1))  # (B, C')
    x = pointwise(x, weight * (1 + sigma).transpose(0, 1), None)
    return F.silu(x.add_(shift[:, :, None, None]))


def gated_product(gate: Tensor, value: Tensor, *, backend: str = 'auto') -> Tensor:
    """Compute silu(gate) silu(value), element by element.

    Args:
        gate, value: of one shape and type.
        backend: 'reference' keeps both factors for the backward pass beside the arguments,
            'recompute' only the arguments; 'auto' takes it.

    Returns:
        A tensor of the same shape.

    Raises:
        ValueError: an unknown backend.

    Source: Sec. 4.2.
    """
    return pick(backend, {'reference': _product, 'recompute': _Product.apply}, 'recompute')(
        gate, value
    )


def _product(gate: Tensor, value: Tensor) -> Tensor:
    return F.silu(gate) * F.silu(value)


class _Product(torch.autograd.Function):
    """`_product` that stores its arguments only."""

    @staticmethod
    def forward(ctx, gate: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(gate, value)
        return F.silu(gate).mul_(F.silu(value))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, value = ctx.saved_tensors
        return (
            torch.ops.aten.silu_backward(F.silu(value).mul_(grad), gate),
            torch.ops.aten.silu_backward(F.silu(gate).mul_(grad), value),
        )
