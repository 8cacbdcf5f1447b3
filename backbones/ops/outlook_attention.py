"""Outlook attention of 3x3 windows at stride 2 (VOLO, arXiv:2106.13112, Sec. 3.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops._triton import require_triton
from backbones.ops.dispatch import PLAIN, choose, once_differentiable, pick

STRIP = 2**19  # values of the windows in a strip; with their products about a core's L2 cache
CELLS = 9  # cells of a window, numbered row by row; number j is at (j // 3 - 1, j % 3 - 1)


def outlook_attention(logits: Tensor, v: Tensor, *, heads: int, backend: str = 'auto') -> Tensor:
    """Mix the values of each 3x3 window by weights from its token, then sum the windows.

    Window (a, b) is centred on position (2a, 2b). Its cell i gets y_i = sum_j softmax_j(l_ij /
    sqrt(d)) v_j with d = C / heads; an output position is the sum, not the mean, over the 1, 2 or 4
    windows that contain it. A cell outside the map has the value zero and is not masked: it keeps
    its softmax weight.

    Args:
        logits: (B, ceil(H / 2), ceil(W / 2), heads * 81), index (head * 9 + i) * 9 + j, before the
            division by sqrt(d).
        v: (B, H, W, C); a head has C / heads consecutive channels.
        heads: number of heads.
        backend: 'plain' unfolds the values and folds the windows; 'strips' cuts out a few rows of
            windows at a time (all on GPUs), and stores none of the copies for the backward pass;
            'interleave' sums the windows by rows and columns of equal parity, without writing to a
            view. 'triton' is a GPU kernel that copies nothing and stores logits and values; 'auto'
            uses it as in `dilated_attention`.

    Returns:
        (B, H, W, C).

    Raises:
        ValueError: `logits` and `v` do not match, or the backend is unknown.
        UserError: 'triton' cannot run here.

    Source: Sec. 3.1; stride, scale and order of the logits follow github.com/sail-sg/volo,
    models/volo.py.
    """
    B, H, W, C = v.shape
    expected = (B, (H + 1) // 2, (W + 1) // 2, heads * CELLS**2)
    if C % heads or logits.shape != expected:
        raise ValueError(
            f'{C} channels, {heads} heads and logits {tuple(logits.shape)}: channels must be a '
            f'multiple of heads, and logits must have the shape {expected}'
        )
    forms = {PLAIN: _plain, 'strips': _Strips.apply, 'interleave': _interleave, 'triton': _triton}
    mix = pick(backend, forms, choose('outlook_attention', logits, v))
    return mix(logits, v, heads)


def _plain(logits: Tensor, v: Tensor, heads: int) -> Tensor:
    B, H, W, C = v.shape
    windows = logits.shape[1] * logits.shape[2]
    v = F.unfold(v.permute(0, 3, 1, 2), 3, padding=1, stride=2)
    v = v.view(B, heads, C // heads, CELLS, windows).permute(0, 1, 4, 3, 2)  # (B, h, n, 9, d)
    logits = logits.reshape(B, windows, heads, CELLS, CELLS).transpose(1, 2)  # (B, h, n, 9, 9)
    wide = torch.promote_types(logits.dtype, torch.float32)
    weights = torch.softmax(logits.to(wide) * (C // heads) ** -0.5, -1).to(v.dtype)
    y = (weights @ v).permute(0, 1, 4, 3, 2)  # (B, h, d, 9, n)
    y = F.fold(y.reshape(B, C * CELLS, windows), (H, W), 3, padding=1, stride=2)
    return y.permute(0, 2, 3, 1)


def _interleave(logits: Tensor, v: Tensor, heads: int) -> Tensor:
    _, H, W, C = v.shape
    h, w = logits.shape[1:3]
    v = F.pad(v, (0, 0, 1, 1, 1, 1)).unflatten(-1, (heads, -1))
    cells = [v[:, i : i + H : 2, j : j + W : 2] for i in range(3) for j in range(3)]
    logits = logits.unflatten(-1, (heads, CELLS, CELLS))
    wide = torch.promote_types(logits.dtype, torch.float32)
    weights = torch.softmax(logits.to(wide) * (C // heads) ** -0.5, -1).to(v.dtype)
    x = (weights @ torch.stack(cells, dim=4)).unflatten(4, (3, 3))  # (B, h, w, heads, 3, 3, d)
    x = _join(*x.unbind(4), axis=1, size=H)  # (B, H, w, heads, 3, d)
    return _join(*x.unbind(4), axis=2, size=W).flatten(-2)


def _join(before: Tensor, centre: Tensor, after: Tensor, *, axis: int, size: int) -> Tensor:
    """Sum overlapping windows along `axis`, given their first, second and third cells.

    Position 2a is the centre of window a; 2a + 1 lies between the centres of a and a + 1.
    """
    before = before.narrow(axis, 1, before.shape[axis] - 1)
    padding = [0, 0] * (before.ndim - 1 - axis) + [0, 1]
    between = after + F.pad(before, padding)
    pairs = torch.stack([centre, between], dim=axis + 1)
    return pairs.flatten(axis, axis + 1).narrow(axis, 0, size)


def _triton(logits: Tensor, v: Tensor, heads: int) -> Tensor:
    require_triton(v)
    from backbones.ops._triton_outlook import attend  # only on request

    return attend(logits, v, heads)[0]


class _Strips(torch.autograd.Function):
    """A few rows of windows at a time; the backward pass makes its copies again."""

    @staticmethod
    def forward(ctx, logits: Tensor, v: Tensor, heads: int) -> Tensor:
        scale = (v.shape[-1] // heads) ** -0.5
        weights = _softmax(logits.unflatten(-1, (heads, CELLS, CELLS)), scale).to(v.dtype)
        ctx.save_for_backward(weights, v)
        padded = _pad(v, heads)
        x = torch.zeros_like(padded)
        for windows, cells in _strips(weights, padded):
            _fold(x[:, cells], weights[:, windows] @ _unfold(padded[:, cells]))
        return _crop(x, v.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, v = ctx.saved_tensors
        size, heads = v.shape, weights.shape[3]
        v, grad = _pad(v, heads), _pad(grad, heads)
        grad_v, grad_logits = torch.zeros_like(v), torch.empty_like(weights)
        for windows, cells in _strips(weights, v):
            a, g = weights[:, windows], _unfold(grad[:, cells])  # unfolding is folding's adjoint
            _fold(grad_v[:, cells], a.transpose(-1, -2) @ g)
            g = g @ _unfold(v[:, cells]).transpose(-1, -2)  # (B, h, w, heads, 9, 9)
            g = g.to(torch.promote_types(g.dtype, torch.float32)) * a
            g -= a * g.sum(-1, keepdim=True)
            grad_logits[:, windows] = g * v.shape[-1] ** -0.5
        return grad_logits.flatten(-3), _crop(grad_v, size), None


def _pad(x: Tensor, heads: int) -> Tensor:
    """Pad a map with the cells of windows beyond it: (B, 2 h + 1, 2 w + 1, heads, d)."""
    _, H, W, _ = x.shape
    return F.pad(x, (0, 0, 1, W % 2, 1, H % 2)).unflatten(-1, (heads, -1))


def _crop(x: Tensor, size: tuple[int, int, int, int]) -> Tensor:
    """Undo `_pad`: (B, H, W, C)."""
    return x[:, 1 : size[1] + 1, 1 : size[2] + 1].flatten(-2)


def _strips(weights: Tensor, padded: Tensor) -> list[tuple[slice, slice]]:
    """Cut the windows into strips: for each, a slice of window rows and a slice of cell rows."""
    B, h, w, heads, _, _ = weights.shape
    cells = B * w * heads * CELLS * padded.shape[-1]  # of a row of windows
    on_gpu = padded.device.type != 'cpu'
    rows = h if on_gpu else max(STRIP // max(cells, 1), 1)
    return [(slice(i, i + rows), slice(2 * i, 2 * min(i + rows, h) + 1)) for i in range(0, h, rows)]


def _unfold(x: Tensor) -> Tensor:
    """Copy a padded map into its windows, (B, h, w, heads, 9, d)."""
    x = x.unfold(1, 3, 2).unfold(2, 3, 2)  # (B, h, w, heads, d, 3, 3)
    return x.permute(0, 1, 2, 3, 5, 6, 4).flatten(4, 5)


def _fold(x: Tensor, windows: Tensor) -> None:
    """Add (B, h, w, heads, 9, d) windows to the padded map `x`."""
    _, h, w, _, _, _ = windows.shape
    windows = windows.unflatten(4, (3, 3))
    for i in range(3):
        for j in range(3):
            x[:, i : i + 2 * h : 2, j : j + 2 * w : 2] += windows[:, :, :, :, i, j]


def _softmax(logits: Tensor, scale: float) -> Tensor:
    """Compute softmax of scaled logits in float32 or wider: bf16 would cost three digits."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) * scale
    if logits.device.type != 'cpu':
        return torch.softmax(logits, -1)
    # rows of nine: torch.softmax takes four times as long on CPUs as these passes
    weights = (logits - logits.amax(-1, keepdim=True)).exp_()
    return weights.div_(weights.sum(-1, keepdim=True))
