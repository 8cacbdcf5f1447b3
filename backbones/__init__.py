"""Five published backbones for MMDetection and MMSegmentation; importing this registers them."""

from backbones import mmcv_ops
from backbones.shipped import config_file
from backbones.zoo import (
    BACKBONES,
    VOLO,
    CloFormer,
    CSWin,
    DilateFormer,
    MogaNet,
    create,
    list_backbones,
)

mmcv_ops.install()  # before anything imports mmcv.ops

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
]
__version__ = '0.1.0'
