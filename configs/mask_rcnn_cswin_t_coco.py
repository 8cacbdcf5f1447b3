# Mask R-CNN + CSWin-T, COCO, 1x: 46.7 box 42.2 mask AP (published, not reproduced here)
# Swin's recipe, with drop path as on ImageNet, because the paper's appendix is inconsistent.
_base_ = '_base_/mask_rcnn_1x_coco.py'
__variant = __import__('backbones').variant('cswin_t')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
