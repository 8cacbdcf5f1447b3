# Recipe: small DINO, embedded digits, 300 iterations of 8 scenes, AdamW, from scratch on CPU.
_base_ = [
    'models/dino.py',
    'datasets/digits_instance.py',
    'optimizers/adamw_digits.py',
    'runtime/detection.py',
]

__levels = dict(embed_dims=64, num_levels=4, num_heads=4)
__ffn = dict(embed_dims=64, feedforward_channels=256)
model = dict(
    num_queries=30,
    backbone=dict(out_indices=(0, 1, 2, 3)),
    neck=dict(out_channels=64, norm_cfg=dict(num_groups=8)),
    encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=__levels, ffn_cfg=__ffn)),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64, num_heads=4),
            cross_attn_cfg=__levels,
            ffn_cfg=__ffn,
        ),
    ),
    positional_encoding=dict(num_feats=32),
    bbox_head=dict(embed_dims=64, num_classes=10),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=60)),
    test_cfg=dict(max_per_img=20),
)

val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
train_cfg = dict(type='IterBasedTrainLoop', max_iters=300, val_interval=300)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=300),
]
default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=100, max_keep_ckpts=1, save_best=None),
)
log_processor = dict(window_size=20, by_epoch=False)
randomness = dict(seed=0)
