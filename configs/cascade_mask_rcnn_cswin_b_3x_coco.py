# Cascade Mask R-CNN + CSWin-B, COCO, 3x: 53.9 box 46.4 mask AP (published, not reproduced here)
# Swin's recipe, drop path as on ImageNet, where the paper's appendix is not consistent.
_base_ = ['_base_/cascade_mask_rcnn_3x_coco.py', '_base_/backbones/cswin_b.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.5),
    neck=dict(in_channels=_base_.channels),
)
