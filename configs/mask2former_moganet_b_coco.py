# Mask2Former + MogaNet-B, COCO, 50e: no published result
# Settings: those of Swin in MMDetection; drop path as in Mask R-CNN.
_base_ = '_base_/mask2former_50e_coco.py'
__variant = __import__('backbones').variant('moganet_b')

model = dict(
    backbone=__variant.settings('detection'),
    panoptic_head=dict(in_channels=__variant.channels),
)
