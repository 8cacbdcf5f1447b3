# Mask R-CNN + CSWin-B, COCO, 3x: 50.8 box 44.9 mask AP (published, not reproduced here)
# Swin's recipe, with drop path as on ImageNet, because the paper's appendix is inconsistent.
_base_ = '_base_/mask_rcnn_3x_coco.py'
__variant = __import__('backbones').variant('cswin_b')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
