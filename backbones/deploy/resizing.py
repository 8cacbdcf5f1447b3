"""Replacing layers that depend on the map's size by layers that export for every size."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AdaptiveAverage(nn.Module):
    """`nn.AdaptiveAvgPool2d` as a product with one averaging matrix per axis.

    An exporter would otherwise freeze its windows at the traced map's size. Window i of `cells`
    spans floor(i n / cells) to ceil((i + 1) n / cells) of n positions.
    """

    def __init__(self, cells: tuple[int, int]) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (_averages(n, out, x) for n, out in zip(x.shape[2:], self.cells))
        return rows @ (x @ columns.transpose(0, 1))


def _averages(length: int, cells: int, like: Tensor) -> Tensor:
    """Return (cells, length) weights that average over each window."""
    position = torch.arange(length, device=like.device)
    window = torch.arange(cells, device=like.device)[:, None]
    start, end = window * length // cells, ((window + 1) * length + cells - 1) // cells
    inside = ((position >= start) & (position < end)).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)


class Upsample(nn.Module):
    """MMSegmentation's upsampling by an integer factor, without its computation in floats."""

    def __init__(self, factor: int, mode: str, align_corners: bool | None) -> None:
        super().__init__()
        self.factor, self.mode, self.align_corners = factor, mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        size = [n * self.factor for n in x.shape[2:]]
        return F.interpolate(x, size, mode=self.mode, align_corners=self.align_corners)


def hold_for_every_size(model: nn.Module) -> None:
    """Replace, in place, the layers that an exporter would freeze at one size."""
    for name, module in list(model.named_modules()):
        parent, _, child = name.rpartition('.')
        if isinstance(module, nn.AdaptiveAvgPool2d):
            out = module.output_size
            cells = (out, out) if isinstance(out, int) else tuple(out)
            setattr(model.get_submodule(parent), child, AdaptiveAverage(cells))
        elif type(module).__name__ == 'Upsample' and type(module).__module__.startswith('mmseg'):
            factor = int(module.scale_factor)
            ours = Upsample(factor, module.mode, module.align_corners)
            setattr(model.get_submodule(parent), child, ours)
