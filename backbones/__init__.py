"""Five published backbones for MMDetection and MMSegmentation; importing this registers them."""

from backbones.distributions import warn_of_doubles

warn_of_doubles()  # before the imports that a mixture of two versions may break

from backbones.cloformer import CloFormer
from backbones.cswin import CSWin
from backbones.dilateformer import DilateFormer
from backbones.moganet import MogaNet
from backbones.openmmlab import mmcv_ops
from backbones.openmmlab.registries import find_configs_by_module
from backbones.registry import BACKBONES, create, list_backbones, register, variant
from backbones.shipped import config_file
from backbones.volo import VOLO

mmcv_ops.install()  # before anything imports mmcv.ops
find_configs_by_module()

__all__ = [
    'BACKBONES',
    'VOLO',
    'CSWin',
    'CloFormer',
    'DilateFormer',
    'MogaNet',
    'config_file',
    'create',
    'list_backbones',
    'register',
    'variant',
]
__version__ = '0.1.0'
