# Mask R-CNN + MogaNet-XL, COCO, 1x: no published result
# No settings are published for this size: those of MogaNet-L, drop path as on ImageNet.
_base_ = '_base_/mask_rcnn_1x_coco_moganet.py'
__variant = __import__('backbones').variant('moganet_xl')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
