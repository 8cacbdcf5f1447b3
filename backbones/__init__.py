"""Five published backbones for MMDetection and MMSegmentation; importing this registers them."""

from backbones.dilateformer import DilateFormer

BACKBONES = (DilateFormer,)
__all__ = ['BACKBONES', 'DilateFormer']
__version__ = '0.1.0'
