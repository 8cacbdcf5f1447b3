# Faster R-CNN + MogaNet-T, COCO, 1x: no published result
# No settings are published: those of Mask R-CNN 1x; BatchNorm is synchronised.
_base_ = '_base_/faster_rcnn_1x_coco_moganet.py'
__variant = __import__('backbones').variant('moganet_t')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
