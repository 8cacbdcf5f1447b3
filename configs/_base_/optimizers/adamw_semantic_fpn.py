# AdamW at batch 16, decay for all parameters: PVT's Semantic FPN (arXiv:2102.12122, Sec. 5.3).
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
