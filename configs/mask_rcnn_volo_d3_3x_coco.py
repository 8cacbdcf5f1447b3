# Mask R-CNN + VOLO-D3, COCO, 3x: no published result
# No settings are published: this is Swin's recipe, drop path as on ImageNet.
_base_ = ['_base_/mask_rcnn_3x_coco.py', '_base_/backbones/volo_d3.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.5),
    neck=dict(in_channels=_base_.channels),
)
