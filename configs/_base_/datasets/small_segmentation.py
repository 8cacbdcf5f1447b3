# Label maps of small images; tools/new_config.py inserts your dataset.
_base_ = ['segmentation.py']

# tools/new_config.py fits inputs and crops to the data: longer sides of an input, largest side of a
# crop, pixels of an iteration, stride of the logits
fitted = dict(least=256, longest=1024, crop=512, pixels=196608, stride=4)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(128, 128), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(128, 128)),
    dict(type='RandomFlip', prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    # after Resize: ground truth is evaluated at the original size
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(type='BaseSegDataset', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(type='BaseSegDataset', pipeline=test_pipeline),
)
test_dataloader = val_dataloader

__load, __augment = _base_.tta_pipeline
tta_pipeline = [
    __load,
    dict(
        type='TestTimeAug',
        transforms=[
            # at the test size and near it; the ratios for large images leave too few pixels
            [dict(type='Resize', scale=(side, side), keep_ratio=True) for side in (96, 128, 160)],
            *__augment.transforms[1:],
        ],
    ),
]
