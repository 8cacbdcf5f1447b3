# Mask R-CNN + MogaNet-B, COCO, 1x: 49.0 box 43.8 mask AP (published, not reproduced here)
# Settings: the published ones, with BatchNorm synchronised, as they ask for.
_base_ = ['_base_/mask_rcnn_1x_coco_moganet.py', '_base_/backbones/moganet_b.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
