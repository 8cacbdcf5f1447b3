"""Running chains of layers that widen a map a few rows at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

STRIP = 2**20  # values of the widest map in a strip; with the other maps, about a core's L2 cache
WHOLE = 2**22  # widest maps up to this many values are not worth cutting


def by_strips(
    f: Callable[[Tensor], Tensor], x: Tensor, *, width: int, halo: int, stride: int = 1
) -> Tensor:
    """Apply `f` to `x` by strips of rows, so that its intermediate maps stay small.

    Args:
        f: maps (B, C, H, W) to (B, C', ceil(H / stride), W'); row r of its output depends on the
            rows r * stride - halo to r * stride + halo of its input, or on zeros outside the map.
        x: (B, C, H, W).
        width: channels of the widest map within `f`, at the resolution of `x`.
        halo: number of rows, a multiple of `stride`.
        stride: stride in rows.

    Returns:
        f(x).
    """
    B, _, H, W = x.shape
    if B * width * H * W <= WHOLE:
        return f(x)
    rows = max(STRIP // (B * width * W), 4 * halo, stride) // stride * stride
    strips = []
    for start in range(0, H, rows):
        first, end = max(start - halo, 0), min(start + rows, H)
        strip = f(x[:, :, first : end + halo]).permute(0, 2, 3, 1)
        strips.append(strip[:, (start - first) // stride :][:, : -((start - end) // stride)])
    return torch.cat(strips, dim=1).permute(0, 3, 1, 2)  # channels_last
