# Mask2Former + CloFormer nano, embedded digits, 1200 iterations: 24.9 mIoU (measured here)
_base_ = '_base_/mask2former_digits.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
