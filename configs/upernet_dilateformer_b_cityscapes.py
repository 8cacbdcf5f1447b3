# UperNet + DilateFormer-B, Cityscapes, 80k: no published result
# No settings are published: this project's recipe, drop path as for ADE20K.
_base_ = '_base_/upernet_cityscapes.py'
__variant = __import__('backbones').variant('dilateformer_b')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
