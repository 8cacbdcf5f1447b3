# Faster R-CNN + DilateFormer-S, COCO, 1x: no published result
# No settings are published: this is Swin's recipe.
_base_ = ['_base_/faster_rcnn_1x_coco.py', '_base_/backbones/dilateformer_s.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
