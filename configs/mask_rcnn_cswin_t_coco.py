# Mask R-CNN + CSWin-T, COCO, 1x: 46.7 box 42.2 mask AP (published, not reproduced here)
# Swin's recipe, drop path as on ImageNet, where the paper's appendix is not consistent.
_base_ = '_base_/mask_rcnn_1x_coco.py'
__variant = __import__('backbones').variant('cswin_t')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
