# RetinaNet + MogaNet-T, COCO, 1x: 41.4 box AP (published, not reproduced here)
# Settings as published, except that BatchNorm is synchronised; theirs was per GPU.
_base_ = '_base_/retinanet_1x_coco_moganet.py'
__variant = __import__('backbones').variant('moganet_t')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels[1:]),
)
