# Recipe: Semantic FPN, ADE20K, 80k, as published for MogaNet: batch 32 (8 GPUs x 4), lr 2e-4, test
# images resized to multiples of 32 pixels.
_base_ = [
    'models/semantic_fpn.py',
    'datasets/ade20k_moganet.py',
    'schedules/80k.py',
    'optimizers/adamw_semantic_fpn.py',
    'runtime/segmentation.py',
]

train_cfg = dict(val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
auto_scale_lr = dict(base_batch_size=32)
