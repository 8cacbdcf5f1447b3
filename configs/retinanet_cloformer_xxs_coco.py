# RetinaNet + CloFormer-XXS, COCO, 1x: no published result
# No settings are published: this is Swin's recipe, drop path as on ImageNet.
_base_ = ['_base_/retinanet_1x_coco.py', '_base_/backbones/cloformer_xxs.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.0),
    neck=dict(in_channels=_base_.channels[1:]),
)
