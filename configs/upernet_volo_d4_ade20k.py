# UperNet + VOLO-D4, ADE20K, 160k: no published result
# No settings are published: LV-ViT's, by the same group, with sliding-window test.
_base_ = ['_base_/upernet_160k_ade20k_volo.py', '_base_/backbones/volo_d4.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.5),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
