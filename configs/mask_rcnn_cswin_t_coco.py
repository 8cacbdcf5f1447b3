# Mask R-CNN + CSWin-T, COCO, 1x: 46.7 box 42.2 mask AP (published, not reproduced here)
# Swin's recipe, drop path as on ImageNet, where the paper's appendix is not consistent.
_base_ = ['_base_/mask_rcnn_1x_coco.py', '_base_/backbones/cswin_t.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
