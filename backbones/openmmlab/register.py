"""What `import backbones` does for OpenMMLab's packages if they are installed.

It imports only MMEngine's registries, and not mmcv, mmdet or mmseg.
"""

import functools
import logging
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from backbones.adapted.hf_pyramid import HfPyramid
from backbones.adapted.timm_pyramid import TimmPyramid
from backbones.openmmlab.finder import Finder
from backbones.registry import BACKBONES, TOLD, full_name


@functools.cache
def join() -> None:
    """Register the backbones, configs and log with MMEngine, and give mmcv its operators."""
    sys.meta_path.append(Finder())
    if sys.modules.get('mmdet'):
        from backbones.openmmlab.mmcv_ops import replace_fallbacks

        replace_fallbacks()
    if models() is not None:
        classes: list[Any] = [*BACKBONES, HfPyramid, TimmPyramid]
        for cls in classes:
            register_in_mmengine(cls)
        TOLD.append(register_in_mmengine)
        find_configs_by_module()
        logger = logging.getLogger('backbones')
        logger.addHandler(ToMMEngine())
        logger.setLevel(logging.INFO)


@functools.cache
def models() -> Any:
    """Return MMEngine's model registry; None without MMEngine, with a warning if it is broken."""
    if find_spec('mmengine') is None:
        return None
    try:
        from mmengine.registry import MODELS
    except ImportError as error:
        warnings.warn(
            f'MMEngine is installed but cannot be imported ({error}), so its configs will not '
            'find the backbones'
        )
        return None
    return MODELS


def register_in_mmengine(cls: Callable) -> None:
    """Register a class with MMEngine, unless another class already has its name."""
    registry = models()
    name = cls.__name__
    holder = registry.module_dict.get(name)
    if holder is None or full_name(holder) == full_name(cls):  # equal if a cell is run again
        registry.register_module(module=cls, force=True)
        return
    # MMEngine imports names with dots; the five have a shorter one
    ours = f'backbones.{name}' if cls.__module__.startswith('backbones.') else full_name(cls)
    warnings.warn(
        f'in MMEngine, {name} remains {full_name(holder)}; to use the backbone in a config, set '
        f"type='{ours}'"
    )


def find_configs_by_module() -> None:
    """Make `mmseg::...` work in configs, from whichever distribution MMSegmentation comes.

    MMEngine looks for a distribution `mmsegmentation`; only for names that it does not map to a
    distribution does it look for a module. As for `mmdet`, the module gives the right folder.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE['mmseg'] = 'mmseg'


class ToMMEngine(logging.Handler):
    """Forward our log records to MMEngine's current log, which a run also writes to a file."""

    def emit(self, record: logging.LogRecord) -> None:
        from mmengine.logging import MMLogger

        MMLogger.get_current_instance().log(record.levelno, record.getMessage())
