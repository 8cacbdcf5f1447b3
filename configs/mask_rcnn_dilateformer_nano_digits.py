# Mask R-CNN + DilateFormer nano, embedded digits, 320 iterations from scratch on CPU.
_base_ = ['_base_/mask_rcnn_digits.py', '_base_/backbones/dilateformer_nano.py']

model = dict(backbone=dict(**_base_.backbone), neck=dict(in_channels=_base_.channels))
