# Recipe: Mask R-CNN, COCO, 1x, as published for MogaNet-B and L (XT, T and S: lr 2e-4).
_base_ = [
    'models/mask_rcnn.py',
    'datasets/coco_instance.py',
    'schedules/1x.py',
    'optimizers/adamw_moganet.py',
    'runtime/detection.py',
]
