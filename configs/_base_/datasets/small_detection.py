# Boxes on small images, in COCO's layout; tools/new_config.py inserts your dataset.
_base_ = ['coco_detection.py']

# limits for tools/new_config.py, which fits inputs and crops to the data, all in pixels: the side
# of the median box of the class with the smallest boxes; longer sides of an input; pixels in an
# iteration of whole images; sides of a crop if two whole images are too large
fitted = dict(small=24, least=224, longest=640, pixels=294912, least_crop=256, crop=320)

# without FilterAnnotations, the model would learn the slivers of objects at the edges of crops
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=(384, 384), ratio_range=(0.7, 1.4), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(256, 256), allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(6, 6), keep_empty=False),
    dict(type='RandomFlip', prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(384, 384), keep_ratio=True),
    # after Resize: ground truth is evaluated at the original size
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
train_dataloader = dict(
    batch_size=4, batch_sampler=None, num_workers=1, dataset=dict(pipeline=train_pipeline)
)
val_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
