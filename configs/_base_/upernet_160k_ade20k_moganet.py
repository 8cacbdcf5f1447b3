# Recipe: UperNet, ADE20K, 160k, as published for MogaNet: lr 1e-4, test images resized to
# multiples of 32 pixels.
_base_ = ['upernet_160k_ade20k.py']

# published rule: norms, layer scales and sigmas are not decayed; biases and the stem's norms,
# whose names there lack "norm", are
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={'scale': dict(decay_mult=0.0), 'norm': dict(decay_mult=0.0)},
    ),
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='ResizeToMultiple', size_divisor=32),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
