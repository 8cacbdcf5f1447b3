# UperNet + VOLO-D1, Cityscapes, 80k: 83.1 multi-scale mIoU (quoted, not reproduced)
# The authors tell only of an UperNet and sliding windows: crop, schedule and learning rate are
# this project's choice (see the recipe), drop path is as for ADE20K.
_base_ = ['_base_/upernet_cityscapes.py', '_base_/backbones/volo_d1.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
