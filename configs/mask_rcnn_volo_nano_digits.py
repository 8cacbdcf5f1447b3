# Mask R-CNN + VOLO nano, embedded digits, 320 iterations: mask AP50 0.80 ± 0.01 (ours)
_base_ = '_base_/mask_rcnn_digits.py'
__arch = __import__('backbones').VOLO.NANO

model = dict(
    backbone=dict(type='VOLO', arch=__arch, pos_embed_size=8),
    neck=dict(in_channels=list(__arch['dims'])),
)
