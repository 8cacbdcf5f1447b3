# VOLO small enough to train from scratch on CPU; not a published variant.
backbone = dict(
    type='VOLO',
    arch=dict(
        dims=(48, 96, 96, 96),
        depths=(2, 1, 1, 1),
        heads=(2, 4, 4, 4),
        mlp_ratio=3,
        stem_dim=16,
    ),
    pos_embed_size=8,
)
channels = [48, 96, 96, 96]
