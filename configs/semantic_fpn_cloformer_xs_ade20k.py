# Semantic FPN + CloFormer-XS, ADE20K, 80k: no published result
# No settings are published: this is PVT's recipe, drop path as on ImageNet.
_base_ = '_base_/semantic_fpn_80k_ade20k.py'
__variant = __import__('backbones').variant('cloformer_xs')

model = dict(
    backbone=__variant.settings('semantic_fpn'),
    neck=dict(in_channels=__variant.channels),
)
