# Recipe: Mask2Former for instances, COCO 2017, 368750 iterations (50 epochs), 1024x1024 crops,
# batch 16 (8 GPUs x 2), AdamW.
_base_ = [
    'models/mask2former_instance.py',
    'datasets/coco_instance_jitter.py',
    'optimizers/adamw_queries.py',
    'runtime/detection.py',
]

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'backbones.training.backbone_rate'])
# all batches have the size of a crop
model = dict(
    data_preprocessor=dict(
        batch_augments=[dict(type='BatchFixedSizePad', size=(1024, 1024), pad_mask=True)]
    )
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=368750, val_interval=7375)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='MultiStepLR', end=368750, by_epoch=False, milestones=[327778, 355092], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=7375))
log_processor = dict(by_epoch=False)
