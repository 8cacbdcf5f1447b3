# ADE20K as in MogaNet's test: a second resize rounds both sides up to multiples of 32 pixels.
_base_ = ['ade20k.py']

__resize_up = dict(type='ResizeToMultiple', size_divisor=32)
test_pipeline = [*_base_.test_pipeline[:2], __resize_up, *_base_.test_pipeline[2:]]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

__load, __augment = _base_.tta_pipeline
__resizes, *__rest = __augment.transforms
tta_pipeline = [
    __load,
    dict(
        type='TestTimeAug',
        transforms=[
            __resizes,
            [
                # hides the shared list of label maps, which are not loaded yet
                dict(
                    type='KeyMapper',
                    mapping=dict(img='img', img_shape='img_shape', seg_fields=...),
                    transforms=[__resize_up],
                )
            ],
            *__rest,
        ],
    ),
]
