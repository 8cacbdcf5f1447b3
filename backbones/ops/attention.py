"""Global softmax attention."""

import torch.nn.functional as F
from torch import Tensor

from backbones.ops import pick


def attention(q: Tensor, k: Tensor, v: Tensor, *, backend: str = 'auto') -> Tensor:
    """Compute softmax(q k^T / sqrt(d)) v over all keys.

    Args:
        q: (B, heads, queries, d).
        k, v: (B, heads, keys, d).
        backend: 'sdpa' (what 'auto' takes) stores no attention matrix; 'reference' does. On CPUs
            it copies what is strided: up to 1.5 times faster from 1000 positions on.

    Returns:
        (B, heads, queries, d).

    Raises:
        ValueError: an unknown backend.

    Source: arXiv:1706.03762, Eq. 1. DilateFormer and VOLO scale the logits, as `_reference` does.
    """
    return pick(backend, {'reference': _reference, 'sdpa': _sdpa}, 'sdpa')(q, k, v)


def _sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    if q.device.type == 'cpu':
        # the output gets the layout of q: heads side by side, as the next layer reads and keeps it
        q = q.transpose(1, 2).contiguous().transpose(1, 2)
        k, v = k.contiguous(), v.contiguous()
    return F.scaled_dot_product_attention(q, k, v)


def _reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1) @ v
