# From scratch on a CPU: AdamW, 12 epochs; tools/new_config.py fits the length.
_base_ = ['../runtime/detection.py', '../optimizers/adamw_small.py']

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=12, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1, save_best='coco/bbox_mAP_50'))
auto_scale_lr = dict(enable=False, base_batch_size=4)
randomness = dict(seed=0)
