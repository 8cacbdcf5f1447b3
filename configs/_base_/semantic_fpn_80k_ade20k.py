# Recipe: Semantic FPN, ADE20K, 80k iterations, 512x512 crops, batch 16 (8 GPUs x 2), AdamW.
_base_ = [
    'models/semantic_fpn.py',
    'datasets/ade20k.py',
    'schedules/80k.py',
    'optimizers/adamw_semantic_fpn.py',
    'runtime/segmentation.py',
]

default_hooks = dict(checkpoint=dict(interval=8000))
