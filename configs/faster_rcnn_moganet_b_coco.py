# Faster R-CNN + MogaNet-B, COCO, 1x: no published result
# No settings are published: those of Mask R-CNN 1x; BatchNorm is synchronised.
_base_ = ['_base_/faster_rcnn_1x_coco_moganet.py', '_base_/backbones/moganet_b.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
