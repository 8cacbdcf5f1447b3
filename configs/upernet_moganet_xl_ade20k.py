# UperNet + MogaNet-XL, ADE20K, 160k: no published result
# Settings as published, with synchronised BatchNorm as they request.
_base_ = '_base_/upernet_160k_ade20k_moganet.py'
__variant = __import__('backbones').variant('moganet_xl')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
