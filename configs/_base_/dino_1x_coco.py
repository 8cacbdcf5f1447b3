# Recipe: DINO with four levels, COCO 2017, 12 epochs, multi-scale crops, batch 16 (8 GPUs x 2),
# AdamW. MMDetection decays norms, too.
_base_ = [
    'models/dino.py',
    'datasets/coco_detection_crops.py',
    'schedules/1x.py',
    'optimizers/adamw_queries.py',
    'runtime/detection.py',
]

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'backbones.training.backbone_rate'])
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4), clip_grad=dict(max_norm=0.1))
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=12, by_epoch=True, milestones=[11], gamma=0.1),
]
