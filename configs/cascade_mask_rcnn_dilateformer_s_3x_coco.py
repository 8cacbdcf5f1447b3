# Cascade Mask R-CNN + DilateFormer-S, COCO, 3x: no published result
# No settings are published: this is Swin's recipe.
_base_ = '_base_/cascade_mask_rcnn_3x_coco.py'
__variant = __import__('backbones').variant('dilateformer_s')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
