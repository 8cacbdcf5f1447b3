# Recipe: Cascade Mask R-CNN with Swin's box heads, COCO, 3x, as published for MogaNet-S.
_base_ = [
    'models/cascade_mask_rcnn_giou.py',
    'datasets/coco_instance_crops.py',
    'schedules/3x.py',
    'optimizers/adamw_moganet.py',
    'runtime/detection.py',
]

optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=36, by_epoch=True, milestones=[27, 33], gamma=0.1),
]
