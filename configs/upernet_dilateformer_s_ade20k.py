# UperNet + DilateFormer-S, ADE20K, 160k: 47.1 mIoU (quoted by third parties; not reproduced)
# No settings are published: this is Swin's recipe.
_base_ = ['_base_/upernet_160k_ade20k.py', '_base_/backbones/dilateformer_s.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.3),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
