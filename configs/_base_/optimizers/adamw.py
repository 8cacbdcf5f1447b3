# AdamW at batch 16, as in Swin's detectors (arXiv:2103.14030, A2.2). No decay for norms, biases,
# other one-dimensional parameters, and VOLO's position table.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={'pos_embed': dict(decay_mult=0.0)},
    ),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
