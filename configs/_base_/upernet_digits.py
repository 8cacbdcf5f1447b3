# Recipe: small UperNet, embedded digits, 1500 iterations of 8 scenes, AdamW, from scratch on CPU.
_base_ = ['models/upernet.py', 'datasets/digits_segmentation.py', 'runtime/segmentation.py']

model = dict(
    data_preprocessor=dict(size=(96, 96)),
    decode_head=dict(
        channels=48,
        pool_scales=(2, 3),  # for maps of 3x3 cells
        dropout_ratio=0.0,
        num_classes=11,
        norm_cfg=dict(type='BN'),
        # with MMSegmentation's std 0.01, predictions stay all-background for hundreds of iterations
        init_cfg=dict(type='Normal', std=0.1, override=dict(name='conv_seg')),
        loss_decode=dict(class_weight=[0.3] + [1.0] * 10),
    ),
    auxiliary_head=None,
)

train_cfg = dict(type='IterBasedTrainLoop', max_iters=1500, val_interval=1500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=5),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=40, end=1500),
]
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=100, max_keep_ckpts=1, save_best=None),
)
log_processor = dict(window_size=20)
randomness = dict(seed=0)
