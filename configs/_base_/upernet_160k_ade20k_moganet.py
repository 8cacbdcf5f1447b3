# Recipe: UperNet, ADE20K, 160k iterations, as published for MogaNet: lr 1e-4, test images resized
# to multiples of 32 pixels.
_base_ = [
    'models/upernet.py',
    'datasets/ade20k_moganet.py',
    'schedules/160k.py',
    'optimizers/adamw_moganet.py',
    'runtime/segmentation.py',
]

optim_wrapper = dict(optimizer=dict(weight_decay=0.01))
