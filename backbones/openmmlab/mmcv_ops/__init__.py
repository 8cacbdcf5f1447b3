"""Replacements in torchvision and PyTorch for mmcv's compiled operators, if this mmcv has none.

pip builds mmcv in an environment without torch, so a usual installation lacks the C++ module
`mmcv._ext`, and importing `mmcv.ops`, and with it `mmdet.models`, fails. The modules in this folder
implement the operators that MMDetection's and MMSegmentation's models use, with the names and
arguments of that C++ module. `finder.py` lets Python find them when mmcv imports it.
"""

import functools
import importlib
import sys
import types
from collections.abc import Callable

from backbones.openmmlab.mmcv_ops import boxes, deformable, focal_loss, mask_driven, pooling
from backbones.openmmlab.mmcv_ops.support import (
    OPERATORS,
    STANDING_IN,
    needs_compiled,
    torchvision,
)

__all__ = [
    'StandIn',
    'boxes',
    'deformable',
    'focal_loss',
    'mask_driven',
    'pooling',
    'replace_fallbacks',
]
# fallbacks that mmdet modules define, only to raise an error, if `mmcv.ops` cannot be imported
FALLBACKS = (
    'CARAFEPack',
    'DeformConv2d',
    'MaskedConv2d',
    'ModulatedDeformConv2d',
    'MultiScaleDeformableAttention',
    'RoIPool',
    '_sigmoid_focal_loss',
    'batched_nms',
    'deform_conv2d',
    'nms',
    'nms_match',
    'point_sample',
    'rel_roi_point_to_rel_img_point',
    'roi_align',
)


class StandIn(types.ModuleType):
    """Module `mmcv._ext` with our operators; any other name is a function that raises an error.

    It checks torchvision at once, so that importing `mmcv.ops` fails early.

    Raises:
        ImportError: torchvision is missing or does not match torch.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, STANDING_IN)
        torchvision()

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('_'):  # Python's lookups, such as __path__; no operator is private
            raise AttributeError(f'module {self.__name__!r} has no attribute {name!r}')
        return OPERATORS.get(name, functools.partial(needs_compiled, name))


def replace_fallbacks() -> None:
    """Give mmdet modules imported without the operators the real functions."""
    for name, module in list(sys.modules.items()):
        for operator in FALLBACKS if name.startswith('mmdet.') else ():
            if getattr(vars(module).get(operator), '__module__', None) == name:
                ops = importlib.import_module('mmcv.ops')
                setattr(module, operator, getattr(ops, operator.lstrip('_')))
