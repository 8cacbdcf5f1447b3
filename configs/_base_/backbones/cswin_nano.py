# CSWin small enough to train from scratch on CPU; not a published variant.
backbone = dict(
    type='CSWin',
    arch=dict(
        dims=(24, 48, 96, 192),
        depths=(1, 1, 2, 1),
        heads=(2, 4, 8, 8),
        stripes=(1, 2, 7),
        mlp_ratio=4,
    ),
)
channels = [24, 48, 96, 192]
