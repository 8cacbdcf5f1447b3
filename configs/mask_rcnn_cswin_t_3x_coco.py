# Mask R-CNN + CSWin-T, COCO, 3x: 49.0 box 43.6 mask AP (published, not reproduced here)
# Swin's recipe, drop path as on ImageNet, where the paper's appendix is not consistent.
_base_ = ['_base_/mask_rcnn_3x_coco.py', '_base_/backbones/cswin_t.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
