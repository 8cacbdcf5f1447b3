# UperNet + CSWin-L, ADE20K, 160k: no published result at 512 pixels
# No settings are published for this size at 512 pixels: those of CSWin-B.
_base_ = '_base_/upernet_160k_ade20k_cswin.py'
__variant = __import__('backbones').variant('cswin_l')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
