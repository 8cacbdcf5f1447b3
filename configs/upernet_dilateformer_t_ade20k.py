# UperNet + DilateFormer-T, ADE20K, 160k: no published result
# No settings are published; this is Swin's recipe.
_base_ = '_base_/upernet_160k_ade20k.py'
__variant = __import__('backbones').variant('dilateformer_t')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
