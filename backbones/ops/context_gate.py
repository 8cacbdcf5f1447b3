"""The local branch of CloFormer's attention (arXiv:2303.17803, Sec. 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops import Layer, pick
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
        backend: 'reference' as the formula says; 'folded' (what 'auto' takes) moves the scale into
            W2 and b2, which saves a pass over the map.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: an unknown backend.

    Source: AttnConv; github.com/qhfan/CloFormer.
    """
    return pick(backend, {'reference': _reference, 'folded': _folded}, 'folded')(
        q, k, v, first, second, scale
    )


def _reference(
    q: Tensor, k: Tensor, v: Tensor, first: Layer, second: Layer, scale: float
) -> Tensor:
    x = F.silu(F.conv2d(q * k, *first))
    return torch.tanh(F.conv2d(x, *second) * scale) * v


def _folded(q: Tensor, k: Tensor, v: Tensor, first: Layer, second: Layer, scale: float) -> Tensor:
    x = F.silu(pointwise(q * k, *first))
    return torch.tanh(pointwise(x, second[0] * scale, second[1] * scale)) * v
