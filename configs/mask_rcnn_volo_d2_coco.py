# Mask R-CNN + VOLO-D2, COCO, 1x: no published result
# No settings are published; this is Swin's recipe, drop path as on ImageNet.
_base_ = '_base_/mask_rcnn_1x_coco.py'
__variant = __import__('backbones').variant('volo_d2')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
