# Mask R-CNN + MogaNet-L, COCO, 3x: 50.6 box 44.6 mask AP (published, not reproduced here)
# Settings: the published ones, but BatchNorm is synchronised; theirs was per GPU.
_base_ = ['_base_/mask_rcnn_3x_coco_moganet.py', '_base_/backbones/moganet_l.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.3),
    neck=dict(in_channels=_base_.channels),
)
