# Mask R-CNN + CSWin nano, embedded digits, 320 iterations: mask AP50 0.47 (measured here)
_base_ = ['_base_/mask_rcnn_digits.py', '_base_/backbones/cswin_nano.py']

model = dict(backbone=dict(**_base_.backbone), neck=dict(in_channels=_base_.channels))
