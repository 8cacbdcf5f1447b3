# Mask R-CNN + MogaNet-XL, COCO, 1x: no published result
# No settings are published for this size: those of MogaNet-L, drop path as on ImageNet.
_base_ = ['_base_/mask_rcnn_1x_coco_moganet.py', '_base_/backbones/moganet_xl.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.4),
    neck=dict(in_channels=_base_.channels),
)
