# Mask R-CNN + MogaNet-S, COCO, 3x: 48.5 box 43.1 mask AP (published, not reproduced here)
# Settings as published, except that BatchNorm is synchronised; theirs was per GPU.
_base_ = '_base_/mask_rcnn_3x_coco_moganet.py'
__variant = __import__('backbones').variant('moganet_s')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
