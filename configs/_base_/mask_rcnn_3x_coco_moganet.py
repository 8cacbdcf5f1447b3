# Recipe: Mask R-CNN, COCO, 3x, as published for MogaNet: lr 2e-4 for every variant.
_base_ = [
    'models/mask_rcnn.py',
    'datasets/coco_instance_crops.py',
    'schedules/3x.py',
    'optimizers/adamw_moganet.py',
    'runtime/detection.py',
]

optim_wrapper = dict(optimizer=dict(lr=2e-4))
