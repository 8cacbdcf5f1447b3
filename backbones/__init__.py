"""Five published backbones for MMDetection and MMSegmentation; importing this registers them."""

from backbones import mmcv_ops
from backbones.cloformer import CloFormer
from backbones.cswin import CSWin
from backbones.dilateformer import DilateFormer
from backbones.moganet import MogaNet
from backbones.volo import VOLO

mmcv_ops.install()  # before anything imports mmcv.ops

BACKBONES = (DilateFormer, CSWin, VOLO, MogaNet, CloFormer)
__all__ = ['BACKBONES', 'VOLO', 'CSWin', 'CloFormer', 'DilateFormer', 'MogaNet']
__version__ = '0.1.0'
