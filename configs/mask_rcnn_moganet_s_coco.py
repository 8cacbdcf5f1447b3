# Mask R-CNN + MogaNet-S, COCO, 1x: 46.6 box 42.2 mask AP (published, not reproduced here)
# Settings as published, with synchronised BatchNorm as they request.
_base_ = '_base_/mask_rcnn_1x_coco_moganet.py'
__variant = __import__('backbones').variant('moganet_s')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
