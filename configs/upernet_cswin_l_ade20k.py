# UperNet + CSWin-L, ADE20K, 160k: no published result at 512 pixels
# No settings are published for this size at 512 pixels: those of CSWin-B.
_base_ = ['_base_/upernet_160k_ade20k_cswin.py', '_base_/backbones/cswin_l.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.6),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
