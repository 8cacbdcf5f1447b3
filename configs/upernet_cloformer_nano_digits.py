# UperNet + CloFormer nano, embedded digits, 1500 iterations: 74.5 ± 0.8 mIoU (ours)
_base_ = '_base_/upernet_digits.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
