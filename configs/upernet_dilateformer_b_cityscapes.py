# UperNet + DilateFormer-B, Cityscapes, 80k: no published result
# No settings are published: this project's recipe, drop path as for ADE20K.
_base_ = ['_base_/upernet_cityscapes.py', '_base_/backbones/dilateformer_b.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.3),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
