"""The local branch of CloFormer's attention (arXiv:2303.17803, Sec. 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from backbones.ops import Layer, pick, traced
from backbones.ops.pointwise import pointwise


def context_gate(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    first: Layer,
    second: Layer,
    *,
    scale: float,
    backend: str = 'auto',
) -> Tensor:
    """Weight local features by context: tanh(scale * (W2 swish(W1 (q o k) + b1) + b2)) o v.

    o is the element-wise product.

    Args:
        q, k, v: (B, C, H, W).
        first, second: (W1, b1) and (W2, b2), the weights (C, C, 1, 1).
        scale: applied after the second convolution, before tanh.
        backend: 'reference' as the formula says; 'folded' moves the scale into W2 and b2, which
            saves a pass over the map; 'recompute' does, too, and keeps only q, k and v for the
            backward pass instead of four maps more. 'auto' takes it in training, else 'folded',
            also if `traced`.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: an unknown backend.

    Source: AttnConv; github.com/qhfan/CloFormer.
    """
    auto = 'recompute' if torch.is_grad_enabled() and not traced() else 'folded'
    run = pick(backend, dict(reference=_reference, folded=_folded, recompute=_recompute), auto)
    return run(q, k, v, first, second, scale)


def _reference(
    q: Tensor, k: Tensor, v: Tensor, first: Layer, second: Layer, scale: float
) -> Tensor:
    x = F.silu(F.conv2d(q * k, *first))
    return torch.tanh(F.conv2d(x, *second) * scale) * v


def _folded(q: Tensor, k: Tensor, v: Tensor, first: Layer, second: Layer, scale: float) -> Tensor:
    x = F.silu(pointwise(q * k, *first))
    return torch.tanh(pointwise(x, second[0] * scale, second[1] * scale)) * v


def _recompute(q: Tensor, k: Tensor, v: Tensor, *rest: Layer | float) -> Tensor:
    return checkpoint(_folded, q, k, v, *rest, use_reentrant=False, preserve_rng_state=False)
