# Mask R-CNN + CSWin-B, COCO, 1x: 48.7 box 43.9 mask AP (published, not reproduced here)
# Swin's recipe, with drop path as on ImageNet, because the paper's appendix is inconsistent.
_base_ = '_base_/mask_rcnn_1x_coco.py'
__variant = __import__('backbones').variant('cswin_b')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
