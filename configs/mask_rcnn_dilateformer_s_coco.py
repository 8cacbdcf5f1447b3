# Mask R-CNN + DilateFormer-S, COCO, 1x: 45.8 box 41.7 mask AP (derived from quotes; not reproduced)
# No settings are published: this is Swin's recipe.
_base_ = ['_base_/mask_rcnn_1x_coco.py', '_base_/backbones/dilateformer_s.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
