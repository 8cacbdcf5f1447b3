"""Five published backbones for MMDetection and MMSegmentation; importing this registers them."""

from backbones.distributions import warn_of_doubles

warn_of_doubles()  # before the imports that a mixture of two versions may break

from backbones.cloformer import CloFormer
from backbones.cswin import CSWin
from backbones.dilateformer import DilateFormer
from backbones.errors import UserError
from backbones.forms import explain
from backbones.moganet import MogaNet
from backbones.openmmlab.joining import join
from backbones.ops.dispatch import plain
from backbones.registry import BACKBONES, create, list_backbones, register, variant
from backbones.shipped import config_file
from backbones.volo import VOLO

join()

__all__ = [
    'BACKBONES',
    'VOLO',
    'CSWin',
    'CloFormer',
    'DilateFormer',
    'MogaNet',
    'UserError',
    'config_file',
    'create',
    'explain',
    'list_backbones',
    'plain',
    'register',
    'variant',
]
__version__ = '0.1.0'
