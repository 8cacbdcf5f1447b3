# Cascade Mask R-CNN + DilateFormer-B, COCO, 3x: 53.3 box 46.1 mask AP (quoted, not reproduced)
# The metric is quoted by third parties. No settings are published: this is Swin's recipe.
_base_ = ['_base_/cascade_mask_rcnn_3x_coco.py', '_base_/backbones/dilateformer_b.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
