# Recipe: Mask R-CNN, COCO, 1x, as published for MogaNet-B and L (XT, T and S: lr 2e-4).
_base_ = [
    'models/mask_rcnn.py',
    'datasets/coco_instance.py',
    'schedules/adamw_1x_moganet.py',
    'runtime/detection.py',
]
