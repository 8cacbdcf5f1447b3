# Recipe: UperNet, ADE20K, 160k iterations, 512x512 crops, batch 16 (8 GPUs x 2), AdamW.
_base_ = [
    'models/upernet.py',
    'datasets/ade20k.py',
    'schedules/160k.py',
    'optimizers/adamw_upernet.py',
    'runtime/segmentation.py',
]
