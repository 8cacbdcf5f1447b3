# UperNet + MogaNet nano, embedded digits, 1500 iterations: 40.7 ± 6.8 mIoU (ours)
_base_ = '_base_/upernet_digits.py'
__arch = __import__('backbones').MogaNet.NANO

model = dict(
    backbone=dict(type='MogaNet', arch=__arch),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
