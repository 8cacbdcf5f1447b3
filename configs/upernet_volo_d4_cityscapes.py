# UperNet + VOLO-D4, Cityscapes, 80k: 84.3 multi-scale mIoU (published, not reproduced here)
# The number is in the abstract. The authors tell only of an UperNet and sliding windows: crop,
# schedule and learning rate are this project's choice (see the recipe), drop path as for ADE20K.
_base_ = ['_base_/upernet_cityscapes.py', '_base_/backbones/volo_d4.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.5),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
