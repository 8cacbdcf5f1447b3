"""Cross-shaped window attention with LePE (CSWin, arXiv:2107.00652, Sec. 3.2 and 3.3)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops import pick


def cross_shaped_attention(
    qkv: Tensor,
    lepe: Sequence[tuple[Tensor, Tensor]],
    *,
    heads: int,
    stripe: int | None,
    backend: str = 'auto',
) -> Tensor:
    """Attend within vertical stripes by the first half of the heads, horizontal ones by the second.

    In each window softmax(q k^T / sqrt(d)) v + DWConv(v), d = C / heads; the 3x3 depthwise
    convolution (LePE) sees the window as an image of its own. Maps that the stripes do not divide
    are padded with zeros, the odd one after the map; a padded cell is a zero key and a zero value:
    it is not masked, its logit 0 takes part in the softmax.

    Args:
        qkv: (B, H, W, 3 C): queries, keys, values; a head owns C / heads consecutive channels.
        lepe: (weight (c, 1, 3, 3), bias (c)) per branch: vertical and horizontal with c = C / 2, or
            one with c = C if `stripe` is None.
        heads: number of heads, both branches together.
        stripe: width of the stripes in cells; None attends to the whole map.
        backend: 'reference' stores the attention matrices; 'sdpa' (what 'auto' takes) does not.

    Returns:
        (B, H, W, C).

    Raises:
        ValueError: channels, heads and branches do not divide, or an unknown backend.

    Source: Eq. 3 to 8; github.com/microsoft/CSWin-Transformer,
    segmentation/backbone/cswin_transformer.py.
    """
    _, H, W, C = qkv.shape
    windows = [(H, W)] if stripe is None else [(H, stripe), (stripe, W)]
    if C % (3 * heads) or heads % len(windows) or len(lepe) != len(windows):
        raise ValueError(
            f'{C} channels of q, k and v, {heads} heads, {len(lepe)} LePE kernels: channels must '
            f'be a multiple of 3 x heads, heads of the {len(windows)} branches, with a kernel each'
        )
    attend = pick(backend, {'reference': _reference, 'sdpa': _sdpa}, 'sdpa')
    branches = qkv.unflatten(-1, (3, len(windows), -1)).unbind(-2)  # (B, H, W, 3, c) each
    return torch.cat(
        [
            attend(branch, *kernel, heads // len(windows), window)
            for branch, kernel, window in zip(branches, lepe, windows)
        ],
        dim=-1,
    )


def _reference(
    qkv: Tensor, weight: Tensor, bias: Tensor, heads: int, window: tuple[int, int]
) -> Tensor:
    B, H, W, _, c = qkv.shape
    q, k, v = _to_windows(qkv, window)  # (n, a, b, c) each
    values = v.permute(0, 3, 1, 2).contiguous()  # (n, c, a, b)
    lepe = F.conv2d(values, weight, bias, padding=1, groups=c).permute(0, 2, 3, 1)
    q, k, v = (
        t.reshape(len(t), -1, heads, c // heads).transpose(1, 2).contiguous() for t in (q, k, v)
    )  # (n, h, ab, d)
    logits = (q * (c // heads) ** -0.5) @ k.transpose(-2, -1)
    wide = torch.promote_types(logits.dtype, torch.float32)
    weights = torch.softmax(logits, -1, dtype=wide).to(v.dtype)
    x = (weights @ v).transpose(1, 2).reshape(lepe.shape) + lepe
    return _to_map(x, (B, H, W))


def _sdpa(qkv: Tensor, weight: Tensor, bias: Tensor, heads: int, window: tuple[int, int]) -> Tensor:
    B, H, W, _, c = qkv.shape
    qkv = _to_windows(qkv, window)  # (3, n, a, b, c)
    values = qkv[2].permute(0, 3, 1, 2)  # (n, c, a, b)
    lepe = F.conv2d(values, weight, bias, padding=1, groups=c).permute(0, 2, 3, 1)
    q, k, v = qkv.flatten(2, 3).unflatten(-1, (heads, -1)).transpose(2, 3)  # (n, h, ab, d) each
    x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    return _to_map(lepe + x.reshape(lepe.shape), (B, H, W))


def _padding(H: int, W: int, window: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, right, top and bottom cells that make an H x W map a multiple of `window`."""
    rows, columns = -H % window[0], -W % window[1]
    return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2


def _to_windows(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Zero-pad a (B, H, W, 3, c) map and cut it into windows, (3, n, a, b, c)."""
    B, H, W, _, c = x.shape
    padding = _padding(H, W, window)
    if any(padding):
        x = F.pad(x, (0, 0, 0, 0, *padding))
    a, b = window
    x = x.unflatten(2, (-1, b)).unflatten(1, (-1, a))  # (B, H / a, a, W / b, b, 3, c)
    return x.permute(5, 0, 1, 3, 2, 4, 6).reshape(3, -1, a, b, c)


def _to_map(x: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Put (n, a, b, c) windows back and drop the padding, (B, H, W, c)."""
    B, H, W = size
    _, a, b, c = x.shape
    left, right, top, bottom = _padding(H, W, (a, b))
    rows, columns = (H + top + bottom) // a, (W + left + right) // b
    x = x.view(B, rows, columns, a, b, c).transpose(2, 3).reshape(B, rows * a, columns * b, c)
    return x[:, top : top + H, left : left + W]
