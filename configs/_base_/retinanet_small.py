# Recipe: small RetinaNet, small datasets of small objects, AdamW, from scratch on CPU.
_base_ = ['models/retinanet.py', 'datasets/small_detection.py', 'runtime/detection.py']

# BatchNorm, as nothing is pretrained, but not in the head, whose layers are shared by three levels
# with different statistics; square anchors of 24 to 152 pixels
model = dict(
    neck=dict(add_extra_convs=False, out_channels=64, num_outs=3, norm_cfg=dict(type='BN')),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=dict(type='GN', num_groups=8),
        anchor_generator=dict(octave_base_scale=3, ratios=[1.0], strides=[8, 16, 32]),
        reg_decoded_bbox=True,
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
    ),
    # objects cut off at a tile's edge and marked as crowds are not background
    train_cfg=dict(assigner=dict(ignore_iof_thr=0.5)),
)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1.5e-3, betas=(0.9, 0.98), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=5),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=12, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1, save_best='coco/bbox_mAP_50'))
randomness = dict(seed=0)
