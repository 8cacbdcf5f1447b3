"""torchvision and PyTorch in place of mmcv's compiled operators, when this mmcv has none.

pip builds mmcv where torch is absent, so the usual installation lacks the C++ module `mmcv._ext`;
`mmcv.ops`, and with it `mmdet.models`, then fails to import. The modules beside this one have the
operators that MMDetection's and MMSegmentation's models use, under the names and with the arguments
of that C++ module.
"""

import functools
import importlib
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec

from backbones.openmmlab.mmcv_ops import boxes, deformable, focal_loss, masks, pooling
from backbones.openmmlab.mmcv_ops.support import (
    OPERATORS,
    STANDING_IN,
    needs_compiled,
    torchvision,
)

__all__ = ['StandIn', 'boxes', 'deformable', 'focal_loss', 'install', 'masks', 'pooling']
NAME = 'mmcv._ext'
ABSENT = 'mmcv is not installed.'
COMPILED = 'mmcv uses its own compiled operators.'
# what mmdet modules define for themselves, only to raise, if mmcv.ops cannot be imported
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


def install() -> str:
    """Put the stand-in for `mmcv._ext` in place, if mmcv has no compiled operators and needs one.

    Imports neither mmcv nor torchvision, unless parts of mmdet were imported before and had to go
    without the operators: those get them now.

    Returns:
        One sentence: which implementation is in use.
    """
    if NAME in sys.modules:
        return STANDING_IN if isinstance(sys.modules[NAME], StandIn) else COMPILED
    mmcv = find_spec('mmcv')
    if mmcv is None:
        return ABSENT
    if PathFinder.find_spec(NAME, mmcv.submodule_search_locations):
        return COMPILED
    sys.modules[NAME] = StandIn()
    _replace_fallbacks()
    return STANDING_IN


class StandIn(types.ModuleType):
    """The module `mmcv._ext`: our operators, and for every other name a function that raises.

    The first access to an operator checks torchvision, so that importing `mmcv.ops` fails early.

    Raises:
        ImportError: torchvision is missing or does not fit torch.
    """

    def __init__(self) -> None:
        super().__init__(NAME, STANDING_IN)
        self.__spec__ = ModuleSpec(NAME, None, origin=__file__)

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('_'):  # Python's own questions, such as __path__; no operator is private
            raise AttributeError(f'module {NAME!r} has no attribute {name!r}')
        torchvision()
        return OPERATORS.get(name, functools.partial(needs_compiled, name))


def _replace_fallbacks() -> None:
    """Give mmdet modules that were imported without operators the real functions."""
    for name, module in list(sys.modules.items()):
        for operator in FALLBACKS if name.startswith('mmdet.') else ():
            if getattr(vars(module).get(operator), '__module__', None) == name:
                ops = importlib.import_module('mmcv.ops')
                setattr(module, operator, getattr(ops, operator.lstrip('_')))
