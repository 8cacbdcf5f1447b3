# Mask R-CNN + MogaNet-L, COCO, 1x: 49.4 box 44.2 mask AP (published, not reproduced here)
# Settings: the published ones, with BatchNorm synchronised, as they ask for.
_base_ = ['_base_/mask_rcnn_1x_coco_moganet.py', '_base_/backbones/moganet_l.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.3),
    neck=dict(in_channels=_base_.channels),
)
