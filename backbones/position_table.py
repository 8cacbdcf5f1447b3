"""Resampling position tables to a map, or to another image size when a file is loaded."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.checkpoints import fit
from backbones.layers import nchw, nhwc


def resample(table: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample a (1, G, G', C) position table to (1, *size, C) cells: bicubic, no antialiasing.

    Computed in float32 or wider. Source: github.com/sail-sg/volo, utils/utils.py, which resamples
    square tables when it loads a file.
    """
    if table.shape[1:3] == tuple(size):
        return table
    wide = torch.promote_types(table.dtype, torch.float32)
    return nhwc(F.interpolate(nchw(table).to(wide), tuple(size), mode='bicubic')).to(table.dtype)


def fit_table(name: str, tensor: Tensor, target: Tensor) -> Tensor | None:
    """Resample a file's position table for another image size; see `PublishedKeys.fit`."""
    is_table = name.endswith('.pos_embed') and tensor.ndim == 4
    if is_table and tensor.shape[::3] == target.shape[::3]:  # (1, C)
        return resample(tensor, target.shape[1:3])
    return fit(name, tensor, target)
