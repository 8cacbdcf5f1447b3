# UperNet + CloFormer-XXS, ADE20K, 160k: no published result
# No settings are published; this is Swin's recipe, drop path as on ImageNet.
_base_ = '_base_/upernet_160k_ade20k.py'
__variant = __import__('backbones').variant('cloformer_xxs')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
