# Recipe: small Semantic FPN, small datasets of small images, AdamW, from scratch on CPU.
_base_ = ['models/semantic_fpn.py', 'datasets/small_segmentation.py', 'runtime/segmentation.py']

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    neck=dict(out_channels=64, norm_cfg=dict(type='BN')),
    decode_head=dict(
        in_channels=[64] * 4,
        channels=64,
        dropout_ratio=0.0,
        norm_cfg=dict(type='BN'),
        # with MMSegmentation's std 0.01, predictions stay all-background for hundreds of iterations
        init_cfg=dict(type='Normal', std=0.1, override=dict(name='conv_seg')),
    ),
)

train_cfg = dict(type='IterBasedTrainLoop', max_iters=200, val_interval=50)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=5),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=40, end=200),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
randomness = dict(seed=0)
