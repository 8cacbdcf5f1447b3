# Mask R-CNN + DilateFormer-B, COCO, 1x: 47.6 box 43.4 mask AP (derived from quotes; not reproduced)
# No settings are published; this is Swin's recipe.
_base_ = '_base_/mask_rcnn_1x_coco.py'
__variant = __import__('backbones').variant('dilateformer_b')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
