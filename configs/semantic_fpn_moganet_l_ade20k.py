# Semantic FPN + MogaNet-L, ADE20K, 80k: 50.2 mIoU (published, not reproduced here)
# Settings: the published ones, with BatchNorm synchronised, as they ask for.
_base_ = ['_base_/semantic_fpn_80k_ade20k_moganet.py', '_base_/backbones/moganet_l.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.3),
    neck=dict(in_channels=_base_.channels),
)
