# UperNet + VOLO-D2, ADE20K, 160k: no published result
# No settings are published; these are LV-ViT's, by the same group, with sliding-window test.
_base_ = '_base_/upernet_160k_ade20k_volo.py'
__variant = __import__('backbones').variant('volo_d2')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
