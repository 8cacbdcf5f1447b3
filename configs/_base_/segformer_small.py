# Recipe: small SegFormer head, small datasets, AdamW, from scratch on CPU.
_base_ = [
    'models/segformer.py',
    'datasets/small_segmentation.py',
    'schedules/small_segmentation.py',
]

model = dict(
    # tests pad, because images can be narrower than the 32 pixels that a backbone needs
    data_preprocessor=dict(size=(128, 128), test_cfg=dict(size_divisor=32)),
    decode_head=dict(
        channels=64,
        dropout_ratio=0.0,
        norm_cfg=dict(type='BN'),
        # with MMSegmentation's std 0.01, predictions stay all-background for hundreds of iterations
        init_cfg=dict(type='Normal', std=0.1, override=dict(name='conv_seg')),
    ),
)
