# Faster R-CNN + CSWin-S, COCO, 1x: no published result
# Swin's recipe, drop path as on ImageNet, where the paper's appendix is not consistent.
_base_ = ['_base_/faster_rcnn_1x_coco.py', '_base_/backbones/cswin_s.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.4),
    neck=dict(in_channels=_base_.channels),
)
