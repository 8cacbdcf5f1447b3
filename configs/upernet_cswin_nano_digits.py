# UperNet + CSWin nano, embedded digits, 1500 iterations: 28.5 ± 2.8 mIoU (ours)
_base_ = '_base_/upernet_digits.py'
__arch = __import__('backbones').CSWin.NANO

model = dict(
    backbone=dict(type='CSWin', arch=__arch),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
