# MogaNet small enough to train from scratch on CPU; not a published variant.
backbone = dict(
    type='MogaNet',
    arch=dict(
        dims=(24, 48, 96, 192),
        depths=(1, 1, 2, 1),
        mlp_ratios=(4, 4, 4, 4),
    ),
)
channels = [24, 48, 96, 192]
