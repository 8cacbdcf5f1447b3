# Mask R-CNN + MogaNet-T, COCO, 3x: 45.3 box 40.7 mask AP (published, not reproduced here)
# Settings as published, except that BatchNorm is synchronised; theirs was per GPU.
_base_ = '_base_/mask_rcnn_3x_coco_moganet.py'
__variant = __import__('backbones').variant('moganet_t')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
