# From scratch on a CPU: AdamW, 200 iterations; tools/new_config.py fits the length.
_base_ = ['../runtime/segmentation.py', '../optimizers/adamw_small.py']

train_cfg = dict(type='IterBasedTrainLoop', max_iters=200, val_interval=50)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=40, end=200),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
randomness = dict(seed=0)
