# Cascade Mask R-CNN + CSWin-B, COCO, 3x: 53.9 box 46.4 mask AP (published, not reproduced here)
# Swin's recipe, with drop path as on ImageNet, because the paper's appendix is inconsistent.
_base_ = '_base_/cascade_mask_rcnn_3x_coco.py'
__variant = __import__('backbones').variant('cswin_b')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
