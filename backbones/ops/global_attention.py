"""The global branch of CloFormer's attention (arXiv:2303.17803, Sec. 3.2)."""

from torch import Tensor

from backbones.ops import pick
from backbones.ops.attention import attention


def global_attention(
    q: Tensor, k: Tensor, v: Tensor, *, heads: int, backend: str = 'auto'
) -> Tensor:
    """Attend from every position of a map to all positions of another, usually smaller one.

    softmax((q / sqrt(d)) k^T) v in every head, d = C / heads.

    Args:
        q: (B, C, H, W); a head owns C / heads consecutive channels.
        k, v: (B, C, H', W').
        heads: number of heads.
        backend: 'reference' stores the HW x H'W' attention matrices; 'sdpa' (what 'auto' takes)
            does not, see `attention`.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: heads do not divide the channels, or an unknown backend.

    Source: github.com/qhfan/CloFormer, classification/models/blocks.py, which scales the queries,
    not the logits: they are by far the larger.
    """
    if q.shape[1] % heads:
        raise ValueError(f'{q.shape[1]} channels; allowed with {heads} heads: their multiples')
    return pick(backend, {'reference': _reference, 'sdpa': _sdpa}, 'sdpa')(q, k, v, heads)


def _reference(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    size = q.shape
    q, k, v = (_by_head(x, heads).contiguous() for x in (q, k, v))
    x = (q * q.shape[-1] ** -0.5 @ k.transpose(2, 3)).softmax(-1) @ v  # (B, heads, HW, d)
    return x.transpose(2, 3).reshape(size)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    H, W = q.shape[2:]
    x = attention(*(_by_head(x, heads) for x in (q, k, v)), backend='sdpa')
    return x.transpose(1, 2).flatten(2).unflatten(1, (H, W)).permute(0, 3, 1, 2)  # channels_last


def _by_head(x: Tensor, heads: int) -> Tensor:
    """View (B, C, H, W) as (B, heads, HW, d)."""
    return x.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3)
