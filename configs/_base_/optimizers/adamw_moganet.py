# AdamW at batch 16 with MogaNet's published decay rule: none for norms, layer scales and sigmas;
# biases and the stem's norms, whose names lack "norm" in the original, are decayed.
_base_ = ['adamw.py']

optim_wrapper = dict(
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={'scale': dict(decay_mult=0.0), 'norm': dict(decay_mult=0.0)},
    ),
)
