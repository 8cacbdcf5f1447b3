# Faster R-CNN + CSWin-B, COCO, 1x: no published result
# Swin's recipe, drop path as on ImageNet, where the paper's appendix is not consistent.
_base_ = '_base_/faster_rcnn_1x_coco.py'
__variant = __import__('backbones').variant('cswin_b')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
