# Semantic FPN + CSWin-T, ADE20K, 80k: 48.2 mIoU (published, not reproduced here)
# Settings: the published rate and decay; the rest is not told: poly 0.9 without warmup, as
# PVT, drop path as on ImageNet.
_base_ = ['_base_/semantic_fpn_80k_ade20k.py', '_base_/backbones/cswin_t.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
