"""mmcv's deformable convolutions as calls of torchvision's, which an exporter can follow.

mmcv's own are autograd functions that turn sizes into numbers.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from torch import Tensor
from torchvision.ops import deform_conv2d

# the names that mmcv and MMDetection call, by module
HOLDERS = {
    'mmcv.ops.deform_conv': 'deform_conv2d',
    'mmcv.ops.saconv': 'deform_conv2d',
    'mmdet.models.dense_heads.tood_head': 'deform_conv2d',
    'mmcv.ops.modulated_deform_conv': 'modulated_deform_conv2d',
}


def _convolve(
    x: Tensor, offset: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, *_: Any
) -> Tensor:
    """Take mmcv's arguments; the groups follow from the shapes."""
    return deform_conv2d(x, offset, weight, None, stride, padding, dilation)


def _convolve_masked(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    *_: Any,
) -> Tensor:
    return deform_conv2d(x, offset, weight, bias, stride, padding, dilation, mask)


def _forward(layer: Any, x: Tensor, offset: Tensor) -> Tensor:
    """Do what `DeformConv2d.forward` does, without its padding of small maps for CUDA."""
    return _convolve(x, offset, layer.weight, layer.stride, layer.padding, layer.dilation)


@contextlib.contextmanager
def by_torchvision() -> Iterator[None]:
    """Context in which mmcv's deformable convolutions, if imported, are torchvision's."""
    with contextlib.ExitStack() as stack:
        for place, name in HOLDERS.items():
            if module := sys.modules.get(place):
                ours = _convolve_masked if name.startswith('modulated') else _convolve
                stack.enter_context(patch.object(module, name, ours))
        if module := sys.modules.get('mmcv.ops.deform_conv'):
            stack.enter_context(patch.object(module.DeformConv2d, 'forward', _forward))
        yield
