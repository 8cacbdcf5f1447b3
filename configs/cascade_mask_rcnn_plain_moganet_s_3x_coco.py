# Cascade Mask R-CNN + MogaNet-S, COCO, 3x: 51.4 box 44.9 mask AP (published, not reproduced here)
# Two linear layers in the box heads.
# Settings as published, except that BatchNorm is synchronised; theirs was per GPU.
_base_ = '_base_/cascade_mask_rcnn_plain_3x_coco_moganet.py'
__variant = __import__('backbones').variant('moganet_s')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
