# CloFormer small enough to train from scratch on CPU; not a published variant.
backbone = dict(
    type='CloFormer',
    arch=dict(
        dims=(32, 48, 96, 192),
        depths=(1, 1, 2, 1),
        heads=(2, 3, 6, 12),
        local_heads=(1, 2, 3, 3),
        mlp_ratio=4,
    ),
)
channels = [32, 48, 96, 192]
