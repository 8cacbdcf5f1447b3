# UperNet + MogaNet-L, ADE20K, 160k: 50.9 mIoU (published, not reproduced here)
# Settings: the published ones, with BatchNorm synchronised, as they ask for.
_base_ = ['_base_/upernet_160k_ade20k_moganet.py', '_base_/backbones/moganet_l.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.3),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
