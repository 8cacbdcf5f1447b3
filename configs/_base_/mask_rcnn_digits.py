# Recipe: small Mask R-CNN, embedded digits, 320 iterations of 8 scenes, AdamW, from scratch on CPU.
_base_ = ['models/mask_rcnn_small.py', 'datasets/digits_instance.py', 'runtime/detection.py']

model = dict(roi_head=dict(bbox_head=dict(num_classes=10), mask_head=dict(num_classes=10)))

train_cfg = dict(type='IterBasedTrainLoop', max_iters=320, val_interval=320)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=5),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=320),
]
default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=100, max_keep_ckpts=1, save_best=None),
)
log_processor = dict(window_size=20, by_epoch=False)
randomness = dict(seed=0)
