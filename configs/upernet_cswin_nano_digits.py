# UperNet + CSWin nano, embedded digits, from scratch on CPU. Not yet measured here.
_base_ = ['_base_/upernet_digits.py', '_base_/backbones/cswin_nano.py']

model = dict(
    backbone=dict(**_base_.backbone),
    decode_head=dict(in_channels=_base_.channels),
)
