"""torchvision and PyTorch in place of mmcv's compiled operators, when this mmcv has none.

pip builds mmcv where torch is absent, so the usual installation lacks the C++ module `mmcv._ext`;
`mmcv.ops`, and with it `mmdet.models`, then fails to import. The modules beside this one have the
operators that MMDetection's and MMSegmentation's models use, under the names and with the arguments
of that C++ module. `register.py` lets Python find them when mmcv asks for it.
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


class StandIn(types.ModuleType):
    """The module `mmcv._ext`: our operators, and for every other name a function that raises.

    The first access to an operator checks torchvision, so that importing `mmcv.ops` fails early.

    Raises:
        ImportError: torchvision is missing or does not fit torch.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, STANDING_IN)

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('_'):  # Python's own questions, such as __path__; no operator is private
            raise AttributeError(f'module {self.__name__!r} has no attribute {name!r}')
        torchvision()
        return OPERATORS.get(name, functools.partial(needs_compiled, name))


def replace_fallbacks() -> None:
    """Give mmdet modules that were imported without operators the real functions."""
    for name, module in list(sys.modules.items()):
        for operator in FALLBACKS if name.startswith('mmdet.') else ():
            if getattr(vars(module).get(operator), '__module__', None) == name:
                ops = importlib.import_module('mmcv.ops')
                setattr(module, operator, getattr(ops, operator.lstrip('_')))
