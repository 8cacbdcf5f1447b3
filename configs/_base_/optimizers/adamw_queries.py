# AdamW at batch 16 for query heads, as in the Swin configs of Mask2Former in MMDetection and
# MMSegmentation: a tenth of the learning rate in the backbone; no decay for norms, the tables of
# queries, levels and positions, and MogaNet's layer scales and sigmas.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='BackboneRate',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        backbone_lr_mult=0.1,
        norm_decay_mult=0.0,
        custom_keys={
            key: dict(decay_mult=0.0)
            for key in ('query_embed', 'query_feat', 'level_embed', 'pos_embed', 'scale')
        },
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
