# Recipe: small Mask2Former, embedded digits, 1200 iterations of 8 scenes, AdamW, from scratch on
# CPU.
_base_ = [
    'models/mask2former.py',
    'datasets/digits_segmentation.py',
    'optimizers/adamw_digits.py',
    'runtime/segmentation.py',
]

__attention = dict(embed_dims=64, num_heads=4)
model = dict(
    data_preprocessor=dict(size=(96, 96)),
    decode_head=dict(
        num_classes=11,
        feat_channels=64,
        out_channels=64,
        num_queries=20,
        pixel_decoder=dict(
            norm_cfg=dict(num_groups=8),
            encoder=dict(
                num_layers=1,
                layer_cfg=dict(
                    self_attn_cfg=__attention, ffn_cfg=dict(embed_dims=64, feedforward_channels=128)
                ),
            ),
            positional_encoding=dict(num_feats=32),
        ),
        positional_encoding=dict(num_feats=32),
        transformer_decoder=dict(
            num_layers=3,
            layer_cfg=dict(
                self_attn_cfg=__attention,
                cross_attn_cfg=__attention,
                ffn_cfg=dict(embed_dims=64, feedforward_channels=256),
            ),
        ),
        loss_cls=dict(class_weight=[1.0] * 11 + [0.1]),
        train_cfg=dict(num_points=1024),
    ),
)

train_cfg = dict(type='IterBasedTrainLoop', max_iters=1200, val_interval=1200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=1200),
]
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=100, max_keep_ckpts=1, save_best=None),
)
log_processor = dict(window_size=20)
randomness = dict(seed=0)
