"""Making levels from another library's maps, and finding parameters that no level needs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from backbones.errors import UserError
from backbones.layers import LayerNorm2d


def make_level(channels: int, stride: int, wanted: int, width: int) -> nn.Sequential:
    """Build the layers that turn a map at `stride` into a level at stride `wanted`."""
    layers: list[nn.Module] = []
    while stride > wanted:
        layers += [nn.ConvTranspose2d(channels, channels // 2, 2, 2)]
        channels, stride = channels // 2, stride // 2
        if stride > wanted:
            layers += [LayerNorm2d(channels), nn.GELU()]
    while stride < wanted:
        layers.append(nn.MaxPool2d(2))
        stride *= 2
    layers += [nn.Conv2d(channels, width, 1, bias=False), LayerNorm2d(width)]
    layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), LayerNorm2d(width)]
    return nn.Sequential(*layers)


def probe(model: Any, size: Sequence[int]) -> tuple[tuple[Tensor, ...], list[str]]:
    """Compute only a model's shapes and its gradient graph, on tensors without memory.

    Args:
        model: an `AdaptedPyramid`.
        size: height and width in pixels of an image that it accepts.

    Returns:
        Its levels, and the names of parameters on which none of them depends, such as those of a
        last class token.

    Raises:
        UserError: the shapes cannot be known without computing numbers.
    """
    replaced = {
        id(t): torch.empty_like(t, device='meta').requires_grad_(t.is_floating_point())
        for t in model.parameters()
    }
    replaced |= {id(t): torch.empty_like(t, device='meta') for t in model.buffers()}
    shapes = copy.deepcopy(model, replaced)
    shapes.frozen_stages = -1  # otherwise it computes no gradients
    with torch.enable_grad():
        try:
            levels = shapes(torch.empty(2, model.in_channels, *size, device='meta'))
        except RuntimeError as error:
            if 'meta tensors' not in str(error):
                raise
            raise UserError(
                f'{model.arch} cannot be a backbone: the shapes of its maps depend on numbers'
            ) from error
        if any(level.requires_grad for level in levels):
            sum(level.sum() for level in levels if level.requires_grad).backward()
    return levels, [name for name, t in shapes.named_parameters() if t.grad is None]
