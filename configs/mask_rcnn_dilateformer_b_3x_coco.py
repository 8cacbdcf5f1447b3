# Mask R-CNN + DilateFormer-B, COCO, 3x: 49.9 box 43.7 mask AP (quoted, not reproduced)
# The metric is quoted by third parties. No settings are published; this is Swin's recipe.
_base_ = '_base_/mask_rcnn_3x_coco.py'
__variant = __import__('backbones').variant('dilateformer_b')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
