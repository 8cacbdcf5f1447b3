"""The two branches of CloFormer's attention (arXiv:2303.17803, Sec. 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops import pick
from backbones.ops.attention import attention
from backbones.ops.pointwise import pointwise

Layer = tuple[Tensor, Tensor]  # weight and bias of a 1x1 convolution


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
            saves a pass over the map; 'auto' takes it.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: an unknown backend.

    Source: AttnConv; github.com/qhfan/CloFormer.
    """
    return pick(backend, {'reference': _gate, 'folded': _gate_folded}, 'folded')(
        q, k, v, first, second, scale
    )


def _gate(q: Tensor, k: Tensor, v: Tensor, first: Layer, second: Layer, scale: float) -> Tensor:
    x = F.silu(F.conv2d(q * k, *first))
    return torch.tanh(F.conv2d(x, *second) * scale) * v


def _gate_folded(
    q: Tensor, k: Tensor, v: Tensor, first: Layer, second: Layer, scale: float
) -> Tensor:
    x = F.silu(pointwise(q * k, *first))
    return torch.tanh(pointwise(x, second[0] * scale, second[1] * scale)) * v


def global_attention(q: Tensor, k: Tensor, v: Tensor, *, heads: int) -> Tensor:
    """Attend from every position of a map to all positions of another, usually smaller one.

    Args:
        q: (B, C, H, W); a head owns C / heads consecutive channels.
        k, v: (B, C, H', W').
        heads: number of heads.

    Returns:
        (B, C, H, W).
    """
    H, W = q.shape[2:]
    q, k, v = (t.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3) for t in (q, k, v))
    x = attention(q, k, v)  # (B, heads, HW, d)
    return x.transpose(1, 2).flatten(2).unflatten(1, (H, W)).permute(0, 3, 1, 2)
