# Faster R-CNN + MogaNet-T, COCO, 1x: no published result
# No settings are published: those of Mask R-CNN 1x; BatchNorm is synchronised.
_base_ = ['_base_/faster_rcnn_1x_coco_moganet.py', '_base_/backbones/moganet_t.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
