# Semantic FPN + VOLO-D3, ADE20K, 80k: no published result
# No settings are published: this is PVT's recipe, drop path as on ImageNet.
_base_ = ['_base_/semantic_fpn_80k_ade20k.py', '_base_/backbones/volo_d3.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.5),
    neck=dict(in_channels=_base_.channels),
)
