# Mask R-CNN + DilateFormer-T, COCO, 1x: no published result
# No settings are published; this is Swin's recipe.
_base_ = '_base_/mask_rcnn_1x_coco.py'
__variant = __import__('backbones').variant('dilateformer_t')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
