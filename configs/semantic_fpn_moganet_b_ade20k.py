# Semantic FPN + MogaNet-B, ADE20K, 80k: 49.3 mIoU (published, not reproduced here)
# Settings as published, with synchronised BatchNorm as they request.
_base_ = '_base_/semantic_fpn_80k_ade20k_moganet.py'
__variant = __import__('backbones').variant('moganet_b')

model = dict(
    backbone=__variant.settings('semantic_fpn'),
    neck=dict(in_channels=__variant.channels),
)
