# DINO + CloFormer nano, embedded digits, 1200 iterations. Not yet measured here
_base_ = '_base_/dino_digits.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch),
    neck=dict(in_channels=list(__arch['dims'])),
)
