# Semantic FPN + DilateFormer-S, ADE20K, 80k: 47.1 mIoU (quoted, not reproduced)
# The metric is quoted by third parties. No settings are published; this is PVT's recipe.
_base_ = '_base_/semantic_fpn_80k_ade20k.py'
__variant = __import__('backbones').variant('dilateformer_s')

model = dict(
    backbone=__variant.settings('semantic_fpn'),
    neck=dict(in_channels=__variant.channels),
)
