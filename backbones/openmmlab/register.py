"""What `import backbones` does for OpenMMLab's packages where they are installed.

Of them it imports MMEngine's registries only: neither mmcv nor mmdet nor mmseg.
"""

import functools
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from backbones.openmmlab.moved import MovedFinder
from backbones.registry import BACKBONES, TOLD, full_name
from backbones.timm_pyramid import TimmPyramid

COMPILED = 'mmcv._ext'  # the module of mmcv's compiled operators


@functools.cache
def join() -> None:
    """Tell MMEngine the backbones and where configs are, take its log, give mmcv operators."""
    sys.meta_path += [OperatorFinder(), MovedFinder()]
    if sys.modules.get('mmdet'):
        from backbones.openmmlab.mmcv_ops import replace_fallbacks

        replace_fallbacks()
    if models() is not None:
        classes: list[Any] = [*BACKBONES, TimmPyramid]
        for cls in classes:
            register_in_mmengine(cls)
        TOLD.append(register_in_mmengine)
        find_configs_by_module()
        logger = logging.getLogger('backbones')
        logger.addHandler(ToMMEngine())
        logger.setLevel(logging.INFO)


@functools.cache
def models() -> Any:
    """MMEngine's registry of models; None without MMEngine, with a warning if it is broken."""
    if find_spec('mmengine') is None:
        return None
    try:
        from mmengine.registry import MODELS
    except ImportError as error:
        warnings.warn(
            f'MMEngine is installed but cannot be imported ({error}), so that its configs do not '
            'know the backbones'
        )
        return None
    return MODELS


def register_in_mmengine(cls: Callable) -> None:
    """Make a class known to MMEngine's configs; a name that another class has stays with that."""
    registry = models()
    name = cls.__name__
    holder = registry.module_dict.get(name)
    if holder is None or full_name(holder) == full_name(cls):  # the same, of a cell run again
        registry.register_module(module=cls, force=True)
        return
    # MMEngine imports what has dots; the five have a shorter name
    ours = f'backbones.{name}' if cls.__module__.startswith('backbones.') else full_name(cls)
    warnings.warn(
        f'{name} is {full_name(holder)} to MMEngine, and stays that; a config reaches the backbone '
        f"by type='{ours}'"
    )


def find_configs_by_module() -> None:
    """Make `mmseg::...` work in configs, whichever distribution MMSegmentation comes from.

    MMEngine looks for a distribution `mmsegmentation`, and only if a name is no distribution's for
    a module of that name. As for `mmdet`, that leads to the right folder.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE['mmseg'] = 'mmseg'


class ToMMEngine(logging.Handler):
    """Hands our lines to MMEngine's current log, which a training run writes to a file, too."""

    def emit(self, record: logging.LogRecord) -> None:
        from mmengine.logging import MMLogger

        MMLogger.get_current_instance().log(record.levelno, record.getMessage())


class OperatorFinder(MetaPathFinder, Loader):
    """Finds the stand-in for mmcv's compiled operators, being asked last: where there are none."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self, origin=__file__) if name == COMPILED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from backbones.openmmlab.mmcv_ops import StandIn

        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """It is complete."""
