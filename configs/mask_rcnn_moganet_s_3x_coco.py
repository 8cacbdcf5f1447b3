# Mask R-CNN + MogaNet-S, COCO, 3x: 48.5 box 43.1 mask AP (published, not reproduced here)
# Settings: the published ones, but BatchNorm is synchronised; theirs was per GPU.
_base_ = ['_base_/mask_rcnn_3x_coco_moganet.py', '_base_/backbones/moganet_s.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
