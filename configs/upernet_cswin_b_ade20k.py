# UperNet + CSWin-B, ADE20K, 160k: 51.1 mIoU (published, not reproduced here)
# Settings: the published ones.
_base_ = ['_base_/upernet_160k_ade20k_cswin.py', '_base_/backbones/cswin_b.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.6),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
