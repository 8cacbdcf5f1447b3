# Faster R-CNN + CSWin-T, COCO, 1x: no published result
# Swin's recipe, with drop path as on ImageNet, because the paper's appendix is inconsistent.
_base_ = '_base_/faster_rcnn_1x_coco.py'
__variant = __import__('backbones').variant('cswin_t')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
