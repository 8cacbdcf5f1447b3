# Mask R-CNN + MogaNet nano, embedded digits, 320 iterations: mask AP50 0.75 ± 0.01 (ours)
_base_ = '_base_/mask_rcnn_digits.py'
__arch = __import__('backbones').MogaNet.NANO

model = dict(
    backbone=dict(type='MogaNet', arch=__arch), neck=dict(in_channels=list(__arch['dims']))
)
