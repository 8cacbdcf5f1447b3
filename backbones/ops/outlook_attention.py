"""Outlook attention of 3x3 windows at stride 2 (VOLO, arXiv:2106.13112, Sec. 3.1, Eq. 3 to 5)."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from backbones.ops import pick

CELLS = 9  # of a window, numbered row by row; number j lies at (j // 3 - 1, j % 3 - 1)


def outlook_attention(logits: Tensor, v: Tensor, *, heads: int, backend: str = 'auto') -> Tensor:
    """Mix the values of each 3x3 window by weights made from its token, then add the windows up.

    Window (a, b) is centred on position (2a, 2b). Its cell i gets y_i = sum_j softmax_j(l_ij /
    sqrt(d)) v_j with d = C / heads; an output position is the sum, not the mean, over the 1, 2 or 4
    windows that hold it. A cell outside the map has value zero and is not masked: it keeps its
    softmax weight.

    Args:
        logits: (B, ceil(H / 2), ceil(W / 2), heads * 81), index (head * 9 + i) * 9 + j, not yet
        scaled.
        v: (B, H, W, C); a head owns C / heads consecutive channels.
        heads: number of heads.
        backend: 'reference' unfolds the values and folds the windows; 'slices' copies strided
            slices of the map and stores none of the copies for the backward pass; 'auto' is
            'slices'.

    Returns:
        (B, H, W, C).

    Raises:
        ValueError: `logits` and `v` do not belong together, or an unknown backend.

    Source: Algorithm 1 lists the form of stride 1; this is the strided one of
    github.com/sail-sg/volo.
    """
    B, H, W, C = v.shape
    expected = (B, (H + 1) // 2, (W + 1) // 2, heads * CELLS**2)
    if C % heads or logits.shape != expected:
        raise ValueError(
            f'{C} channels, {heads} heads and logits {tuple(logits.shape)}: channels must be a '
            f'multiple of heads and logits {expected}'
        )
    return pick(backend, {'reference': _reference, 'slices': _Slices.apply}, 'slices')(
        logits, v, heads
    )


def _reference(logits: Tensor, v: Tensor, heads: int) -> Tensor:
    B, H, W, C = v.shape
    windows = logits.shape[1] * logits.shape[2]
    v = F.unfold(v.permute(0, 3, 1, 2), 3, padding=1, stride=2)
    v = v.view(B, heads, C // heads, CELLS, windows).permute(0, 1, 4, 3, 2)  # (B, h, n, 9, d)
    logits = logits.view(B, windows, heads, CELLS, CELLS).transpose(1, 2)  # (B, h, n, 9, 9)
    y = (_softmax(logits, (C // heads) ** -0.5) @ v).permute(0, 1, 4, 3, 2)  # (B, h, d, 9, n)
    y = F.fold(y.reshape(B, C * CELLS, windows), (H, W), 3, padding=1, stride=2)
    return y.permute(0, 2, 3, 1)


class _Slices(torch.autograd.Function):
    """Keeps weights and values only: the copies of the windows are made again in the backward
    pass."""

    @staticmethod
    def forward(ctx, logits: Tensor, v: Tensor, heads: int) -> Tensor:
        d = v.shape[-1] // heads
        weights = _softmax(logits.unflatten(-1, (heads, CELLS, CELLS)), d**-0.5).to(v.dtype)
        ctx.save_for_backward(weights, v)
        return _fold(_mix(weights, _unfold(v, heads)), *v.shape[1:3])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, v = ctx.saved_tensors
        heads, d = weights.shape[3], v.shape[-1] // weights.shape[3]
        grad = _unfold(grad, heads)  # the adjoint of folding
        grad_v = _fold(_mix(weights.transpose(-1, -2), grad), *v.shape[1:3])
        wide = torch.promote_types(weights.dtype, torch.float32)
        grad = _mix(grad, _unfold(v, heads).transpose(-1, -2)).to(wide)
        grad = torch._softmax_backward_data(grad, weights.to(wide), -1, wide)
        return (grad * d**-0.5).to(weights.dtype).flatten(-3), grad_v, None


def _slots(H: int, W: int) -> Iterator[tuple[int, tuple[slice, slice], tuple[slice, slice]]]:
    """Yield each cell of a window: its number, its positions in the map, the windows they belong
    to.

    Odd rows are the upper cells of all windows but the first row and the lower cells of those that
    have a row below; likewise columns. The four cells that meet every position once, alone, come
    first.
    """

    def cells(size: int) -> tuple[tuple[slice, slice], ...]:
        count = (size + 1) // 2
        return (
            (slice(1, max(2 * count - 2, 1), 2), slice(1, count)),
            (slice(0, size, 2), slice(0, count)),
            (slice(1, size, 2), slice(0, size // 2)),
        )

    rows, columns = cells(H), cells(W)
    for i, j in sorted(((i, j) for i in range(3) for j in range(3)), key=lambda ij: 0 in ij):
        yield 3 * i + j, (rows[i][0], columns[j][0]), (rows[i][1], columns[j][1])


def _unfold(x: Tensor, heads: int) -> Tensor:
    """Copy a (B, H, W, C) map into its windows, (B, H', W', heads, 9, d)."""
    B, H, W, C = x.shape
    windows = x.new_zeros(B, (H + 1) // 2, (W + 1) // 2, heads, CELLS, C // heads)
    x = x.unflatten(-1, (heads, -1))
    for slot, (rows, columns), (a, b) in _slots(H, W):
        windows[:, a, b, :, slot] = x[:, rows, columns]
    return windows


def _fold(windows: Tensor, H: int, W: int) -> Tensor:
    """Sum (B, H', W', heads, 9, d) windows into the (B, H, W, C) map that they cover."""
    B, _, _, heads, _, d = windows.shape
    x = windows.new_empty(B, H, W, heads, d)
    for n, (slot, (rows, columns), (a, b)) in enumerate(_slots(H, W)):
        part = windows[:, a, b, :, slot]
        if n < 4:
            x[:, rows, columns] = part
        else:
            x[:, rows, columns] += part
    return x.flatten(-2)


def _mix(left: Tensor, right: Tensor) -> Tensor:
    return left @ right


def _softmax(logits: Tensor, scale: float) -> Tensor:
    """Softmax of the scaled logits, at least in float32: bf16 exponentials would cost three
    digits."""
    wide = torch.promote_types(logits.dtype, torch.float32)
    return torch.softmax(logits.to(wide) * scale, -1).to(logits.dtype)
