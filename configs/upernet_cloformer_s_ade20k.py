# UperNet + CloFormer-S, ADE20K, 160k: no published result
# No settings are published: this is Swin's recipe, drop path as on ImageNet.
_base_ = ['_base_/upernet_160k_ade20k.py', '_base_/backbones/cloformer_s.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.06),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
