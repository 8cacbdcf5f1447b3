# DINO + DilateFormer-B, COCO, 1x: no published result
# Settings: those of ResNet-50 in MMDetection; drop path as in Mask R-CNN.
_base_ = '_base_/dino_1x_coco.py'
__variant = __import__('backbones').variant('dilateformer_b')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels[1:]),
)
