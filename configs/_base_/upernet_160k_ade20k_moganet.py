# Recipe: UperNet, ADE20K, 160k iterations, as published for MogaNet: lr 1e-4, test images resized
# to multiples of 32 pixels.
_base_ = [
    'models/upernet.py',
    'datasets/ade20k_moganet.py',
    'schedules/adamw_160k.py',
    'runtime/segmentation.py',
]

# published rule: norms, layer scales and sigmas are not decayed; biases and the stem's norms,
# whose names there lack "norm", are
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={'scale': dict(decay_mult=0.0), 'norm': dict(decay_mult=0.0)},
    ),
)
