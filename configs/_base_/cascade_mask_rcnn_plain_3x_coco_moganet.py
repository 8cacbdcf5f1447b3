# Recipe: Cascade Mask R-CNN with plain box heads, COCO, 3x, as published for MogaNet-S.
_base_ = [
    'models/cascade_mask_rcnn.py',
    'datasets/coco_instance_crops.py',
    'schedules/3x.py',
    'optimizers/adamw_moganet.py',
    'runtime/detection.py',
]

optim_wrapper = dict(optimizer=dict(lr=2e-4))
