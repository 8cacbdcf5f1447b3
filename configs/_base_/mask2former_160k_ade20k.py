# Recipe: Mask2Former, ADE20K, 160k iterations, 512x512 crops, batch 16 (8 GPUs x 2), AdamW.
_base_ = [
    'models/mask2former.py',
    'datasets/ade20k.py',
    'schedules/160k.py',
    'optimizers/adamw_queries.py',
    'runtime/segmentation.py',
]

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'backbones.training.backbone_rate'])
__load, __labels, __resize, *__rest = _base_.train_pipeline
train_pipeline = [
    __load,
    __labels,
    dict(
        type='RandomChoiceResize',
        scales=[512 * tenths // 10 for tenths in range(5, 21)],
        resize_type='ResizeShortestEdge',
        max_size=2048,
    ),
    *__rest,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = [
    dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=False, begin=0, end=160000),
]
