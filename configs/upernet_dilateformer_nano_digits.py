# UperNet + DilateFormer nano, embedded digits, 1500 iterations: 67.0 ± 1.8 mIoU (ours)
_base_ = '_base_/upernet_digits.py'
__arch = __import__('backbones').DilateFormer.NANO

model = dict(
    backbone=dict(type='DilateFormer', arch=__arch),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
