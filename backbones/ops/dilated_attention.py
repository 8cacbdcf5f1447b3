"""Multi-scale dilated attention (DilateFormer, arXiv:2302.01791, Sec. 3.1 and 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops import pick


def dilated_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    heads: int,
    dilations: tuple[int, ...] = (1, 2, 3),
    kernel_size: int = 3,
    backend: str = 'auto',
) -> Tensor:
    """Attend from every position to its kernel_size x kernel_size dilated neighbours.

    With d = C / heads and neighbours n of position p at distance dilation * {-1, 0, 1}:
    out_p = sum_n softmax_n(q_p . k_n / sqrt(d)) v_n. A neighbour outside the map is a zero key and
    a zero value: it is not masked, its logit 0 takes part in the softmax.

    Args:
        q, k, v: (B, H, W, C); a head owns C / heads consecutive channels.
        heads: number of heads, a multiple of `len(dilations)`.
        dilations: one per consecutive group of heads / len(dilations) heads, in cells.
        kernel_size: odd side of the neighbourhood, in cells.
        backend: 'reference' unfolds keys and values, kernel_size^2 copies of each; 'shift' reads
            shifted views instead; 'auto' is 'shift'.

    Returns:
        (B, H, W, C).

    Raises:
        ValueError: heads and dilations do not divide, or an unknown backend.

    Source: Eq. 1 to 4; github.com/JIAOJIAYUASD/dilateformer.
    """
    if q.shape[-1] % heads or heads % len(dilations):
        raise ValueError(
            f'{q.shape[-1]} channels in {heads} heads over {len(dilations)} dilations: each number '
            'must be a multiple of the next'
        )
    attend = pick(backend, {'reference': _reference, 'shift': _shift}, 'shift')
    groups = zip(dilations, *(t.chunk(len(dilations), dim=-1) for t in (q, k, v)))
    return torch.cat(
        [attend(*qkv, heads // len(dilations), kernel_size, r) for r, *qkv in groups], dim=-1
    )


def _reference(
    q: Tensor, k: Tensor, v: Tensor, heads: int, kernel_size: int, dilation: int
) -> Tensor:
    B, H, W, C = q.shape
    padding = dilation * (kernel_size - 1) // 2

    def neighbours(x: Tensor) -> Tensor:
        x = F.unfold(x.permute(0, 3, 1, 2), kernel_size, dilation, padding)
        return x.view(B, heads, C // heads, kernel_size**2, H, W).permute(
            0, 4, 5, 1, 3, 2
        )  # (B, H, W, h, n, d)

    q = q.view(B, H, W, heads, 1, C // heads)
    logits = q @ neighbours(k).transpose(-1, -2) * (C // heads) ** -0.5  # (B, H, W, h, 1, n)
    return (_softmax(logits) @ neighbours(v)).view(B, H, W, C)


def _shift(q: Tensor, k: Tensor, v: Tensor, heads: int, kernel_size: int, dilation: int) -> Tensor:
    B, H, W, C = q.shape
    radius = dilation * (kernel_size // 2)

    def neighbours(x: Tensor) -> list[Tensor]:
        x = F.pad(x, (0, 0, radius, radius, radius, radius))
        return [
            x[:, a : a + H, b : b + W].unflatten(-1, (heads, -1))  # (B, H, W, h, d)
            for a in range(0, 2 * radius + 1, dilation)
            for b in range(0, 2 * radius + 1, dilation)
        ]

    q = q.unflatten(-1, (heads, -1)) * (C // heads) ** -0.5
    weights = _softmax(
        torch.stack([(q * key).sum(-1) for key in neighbours(k)], dim=-1)
    )  # (B, H, W, h, n)
    out = sum(
        weight.unsqueeze(-1) * value for weight, value in zip(weights.unbind(-1), neighbours(v))
    )
    return out.flatten(-2)


def _softmax(logits: Tensor) -> Tensor:
    """Softmax over the neighbours, at least in float32: bf16 would cost three digits."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return torch.softmax(logits, -1, dtype=dtype).to(logits.dtype)
