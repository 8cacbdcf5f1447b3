# UperNet + CSWin-B, ADE20K, 160k: 51.1 mIoU (published, not reproduced here)
# Settings as published.
_base_ = '_base_/upernet_160k_ade20k_cswin.py'
__variant = __import__('backbones').variant('cswin_b')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
