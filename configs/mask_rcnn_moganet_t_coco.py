# Mask R-CNN + MogaNet-T, COCO, 1x: 42.6 box 39.1 mask AP (published, not reproduced here)
# Settings as published, with synchronised BatchNorm as they request.
_base_ = '_base_/mask_rcnn_1x_coco_moganet.py'
__variant = __import__('backbones').variant('moganet_t')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
