# UperNet + MogaNet-B, ADE20K, 160k: 50.1 mIoU (published, not reproduced here)
# Settings as published, with synchronised BatchNorm as they request.
_base_ = '_base_/upernet_160k_ade20k_moganet.py'
__variant = __import__('backbones').variant('moganet_b')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
