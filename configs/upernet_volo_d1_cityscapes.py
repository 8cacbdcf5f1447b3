# UperNet + VOLO-D1, Cityscapes, 80k: 83.1 multi-scale mIoU (quoted, not reproduced)
# The authors only mention UperNet and sliding windows; crop, schedule and learning rate are
# this project's choice (see the recipe), drop path is as for ADE20K.
_base_ = '_base_/upernet_cityscapes.py'
__variant = __import__('backbones').variant('volo_d1')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
