# Recipe: UperNet, ADE20K, 160k, as published for CSWin: no decay for names with "norm" only.
_base_ = ['upernet_160k_ade20k.py']

optim_wrapper = dict(
    paramwise_cfg=dict(_delete_=True, custom_keys={'norm': dict(decay_mult=0.0)}),
)
