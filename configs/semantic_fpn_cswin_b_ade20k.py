# Semantic FPN + CSWin-B, ADE20K, 80k: 49.9 mIoU (published, not reproduced here)
# Settings: rate and decay as published; the rest is unpublished: poly 0.9 without warmup, as
# PVT, drop path as on ImageNet.
_base_ = '_base_/semantic_fpn_80k_ade20k.py'
__variant = __import__('backbones').variant('cswin_b')

model = dict(
    backbone=__variant.settings('semantic_fpn'),
    neck=dict(in_channels=__variant.channels),
)
