# Cascade Mask R-CNN + MogaNet-L, COCO, 3x: 53.3 box 46.1 mask AP (published, not reproduced here)
# Four convolutions and GIoU loss in the box heads; the learning rate decays with depth.
# Settings as published, except that BatchNorm is synchronised; theirs was per GPU.
_base_ = '_base_/cascade_mask_rcnn_3x_coco_moganet_layer_decay.py'
__variant = __import__('backbones').variant('moganet_l')

model = dict(
    backbone=__variant.settings('detection'),
    neck=dict(in_channels=__variant.channels),
)
