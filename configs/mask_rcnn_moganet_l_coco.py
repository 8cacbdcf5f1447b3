# Mask R-CNN + MogaNet-L, COCO, 1x: 49.4 box 44.2 mask AP (published, not reproduced here)
# Settings as published, with synchronised BatchNorm as they request.
_base_ = '_base_/mask_rcnn_1x_coco_moganet.py'
__variant = __import__('backbones').variant('moganet_l')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
