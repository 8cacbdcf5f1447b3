# Recipe: UperNet, Cityscapes, 80k iterations, 512x1024 crops, batch 16 (8 GPUs x 2), AdamW. As for
# ADE20K, but half as long, with as many crops as SegFormer (arXiv:2105.15203): 160k times 8. Tested
# in windows of the size of a crop that overlap by a third.
_base_ = [
    'models/upernet.py',
    'datasets/cityscapes.py',
    'schedules/160k.py',
    'optimizers/adamw_upernet.py',
    'runtime/segmentation.py',
]

model = dict(
    data_preprocessor=dict(size=(512, 1024)),
    decode_head=dict(num_classes=19),
    auxiliary_head=dict(num_classes=19),
    test_cfg=dict(mode='slide', crop_size=(512, 1024), stride=(341, 683)),
)
train_cfg = dict(max_iters=80000, val_interval=8000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=1500, end=80000),
]
default_hooks = dict(checkpoint=dict(interval=8000))
