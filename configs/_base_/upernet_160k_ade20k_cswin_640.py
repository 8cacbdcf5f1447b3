# Recipe: UperNet, ADE20K, 160k, 640x640 crops, images of up to 2560x640 pixels: CSWin-B and L from
# ImageNet-22k weights.
_base_ = ['upernet_160k_ade20k_cswin.py']

model = dict(data_preprocessor=dict(size=(640, 640)))
__load, __labels, __resize, __crop, *__rest = _base_.train_pipeline
train_pipeline = [
    __load,
    __labels,
    dict(__resize, scale=(2560, 640)),
    dict(__crop, crop_size=(640, 640)),
    *__rest,
]
__load, __resize, *__rest = _base_.test_pipeline
test_pipeline = [__load, dict(__resize, scale=(2560, 640)), *__rest]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

__load, __augment = _base_.tta_pipeline
__resizes, *__rest = __augment.transforms
tta_pipeline = [
    __load,
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(step, scale=tuple(n * 640 // 512 for n in step.scale)) for step in __resizes],
            *__rest,
        ],
    ),
]
