# UperNet + VOLO-D4, Cityscapes, 80k: 84.3 multi-scale mIoU (published, not reproduced here)
# The number is in the abstract. The authors only mention UperNet and sliding windows; crop,
# schedule and learning rate are this project's choice (see the recipe), drop path as for ADE20K.
_base_ = '_base_/upernet_cityscapes.py'
__variant = __import__('backbones').variant('volo_d4')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
