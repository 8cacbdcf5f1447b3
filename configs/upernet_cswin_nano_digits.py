# UperNet + CSWin nano, embedded digits, 1500 iterations: 26.8 mIoU (measured here)
_base_ = '_base_/upernet_digits.py'
__arch = __import__('backbones').CSWin.NANO

model = dict(
    backbone=dict(type='CSWin', arch=__arch),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
