# Mask R-CNN + CSWin-T, COCO, 3x: 49.0 box 43.6 mask AP (published, not reproduced here)
# Swin's recipe, with drop path as on ImageNet, because the paper's appendix is inconsistent.
_base_ = '_base_/mask_rcnn_3x_coco.py'
__variant = __import__('backbones').variant('cswin_t')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
