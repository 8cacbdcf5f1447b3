# DilateFormer of 0.8 M parameters for the quickstart; no paper has it, nothing is pretrained.
backbone = dict(
    type='DilateFormer',
    arch=dict(dims=(24, 48, 96, 192), depths=(1, 1, 2, 1), heads=(3, 6, 12, 24), mlp_ratio=4),
)
channels = [24, 48, 96, 192]
