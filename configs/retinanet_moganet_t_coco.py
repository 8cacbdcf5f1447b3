# RetinaNet + MogaNet-T, COCO, 1x: 41.4 box AP (published, not reproduced here)
# Settings: the published ones, but BatchNorm is synchronised; theirs was per GPU.
_base_ = ['_base_/retinanet_1x_coco_moganet.py', '_base_/backbones/moganet_t.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels[1:]),
)
