# Semantic FPN + DilateFormer-B, ADE20K, 80k: 48.8 mIoU (quoted, not reproduced)
# The metric is quoted by third parties. No settings are published: this is PVT's recipe.
_base_ = ['_base_/semantic_fpn_80k_ade20k.py', '_base_/backbones/dilateformer_b.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
