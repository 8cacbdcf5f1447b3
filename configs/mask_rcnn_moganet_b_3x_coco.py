# Mask R-CNN + MogaNet-B, COCO, 3x: 50.3 box 44.4 mask AP (published, not reproduced here)
# Settings as published, except that BatchNorm is synchronised; theirs was per GPU.
_base_ = '_base_/mask_rcnn_3x_coco_moganet.py'
__variant = __import__('backbones').variant('moganet_b')

model = dict(
    backbone=dict(**__variant.settings(), drop_path_rate=0.3),
    neck=dict(in_channels=__variant.channels),
)
