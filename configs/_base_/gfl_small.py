# Recipe: small GFL, small datasets, AdamW, from scratch on CPU.
_base_ = ['models/gfl.py', 'datasets/small_detection.py', 'schedules/small_detection.py']

# BatchNorm, because nothing is pretrained, but not in the head, whose layers three levels share
# with different statistics
model = dict(
    neck=dict(add_extra_convs=False, out_channels=64, num_outs=3, norm_cfg=dict(type='BN')),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=dict(type='GN', num_groups=8),
        # squares of 32 to 128 pixels, half of MMDetection's: with those, the squares around a small
        # object overlap its larger neighbour as well, which then gets the object's cells
        anchor_generator=dict(octave_base_scale=4, strides=[8, 16, 32]),
    ),
    # objects cut off at a tile's edge and marked as crowds are not background
    train_cfg=dict(assigner=dict(ignore_iof_thr=0.5)),
)
