"""Cross-shaped window attention with LePE (CSWin, arXiv:2107.00652, Sec. 3.2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops._sdpa import sdpa
from backbones.ops.dispatch import Layer


def cross_shaped_attention(
    qkv: Tensor,
    lepe: Sequence[Layer],
    *,
    heads: int,
    stripe: int | None,
) -> Tensor:
    """Attend within vertical stripes in the first half of the heads, horizontal ones in the second.

    Each window computes softmax((q / sqrt(d)) k^T) v + DWConv(v), d = C / heads; the 3x3 depthwise
    convolution (LePE) treats the window as a separate image. Maps that the stripes do not divide
    are padded with zeros, an odd one after the map; a padded cell has a zero key and a zero value
    and is not masked: its logit 0 takes part in the softmax. No attention matrix is stored.

    Args:
        qkv: (B, H, W, 3 C): queries, keys, values; a head has C / heads consecutive channels.
        lepe: (weight (c, 1, 3, 3), bias (c)) per branch: vertical and horizontal with c = C / 2, or
            one with c = C if `stripe` is None.
        heads: number of heads of both branches together.
        stripe: width of the stripes in cells; None attends to the whole map.

    Returns:
        (B, H, W, C).

    Raises:
        ValueError: channels, heads and branches do not match.

    Source: Sec. 3.2; github.com/microsoft/CSWin-Transformer,
    segmentation/backbone/cswin_transformer.py.
    """
    _, H, W, C = qkv.shape
    windows = [(H, W)] if stripe is None else [(H, stripe), (stripe, W)]
    n = len(windows)  # branches
    if C % (3 * heads) or heads % n or len(lepe) != n:
        raise ValueError(
            f'{C} channels of q, k and v, {heads} heads, {len(lepe)} LePE kernels: channels must '
            f'be a multiple of 3 x heads, heads of {n} branches, with one kernel each'
        )
    parts = qkv.chunk(3 * n, dim=-1)  # (B, H, W, c) each: q, k, v by branch
    branches = enumerate(zip(lepe, windows))
    return torch.cat(
        [_stripes(*parts[i::n], *layer, heads // n, window) for i, (layer, window) in branches], -1
    )


def _stripes(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    weight: Tensor,
    bias: Tensor,
    heads: int,
    window: tuple[int, int],
) -> Tensor:
    upright = window[1] != q.shape[2]
    if upright:  # vertical stripes are the horizontal ones of the transposed map
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        weight, window = weight.transpose(2, 3), window[::-1]
    B, H, W, c = q.shape
    a = window[0]
    n = -(-H // a)
    rows = n * a - H
    top = rows // 2
    padding = 0, 0, 0, 0, top, rows - top
    # the only copy: a stripe becomes contiguous, and nothing keeps qkv for the gradient
    q, k, v = (F.pad(x, padding) if rows else x.contiguous() for x in (q, k, v))
    values = v.reshape(B * n, a, W, c).permute(0, 3, 1, 2)
    if a == 1:  # the kernel's outer rows only see padding
        weight = weight[:, :, 1:2]
    lepe = F.conv2d(values, weight, bias, padding=(weight.shape[2] // 2, 1), groups=c)
    lepe = lepe.permute(0, 2, 3, 1)
    q, k, v = (
        x.reshape(B * n, a * W, heads, c // heads).transpose(1, 2) for x in (q, k, v)
    )  # (B n, h, aW, d) each
    x = sdpa(q, k, v)
    x = x.transpose(1, 2).reshape(B * n, a, W, c)
    x = (lepe + x).reshape(B, n * a, W, c)[:, top : top + H]
    return x.transpose(1, 2) if upright else x
