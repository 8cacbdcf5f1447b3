# Mask R-CNN + MogaNet-S, COCO, 1x: 46.6 box 42.2 mask AP (published, not reproduced here)
# Settings: the published ones, with BatchNorm synchronised, as they ask for.
_base_ = ['_base_/mask_rcnn_1x_coco_moganet.py', '_base_/backbones/moganet_s.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
