# UperNet + VOLO-D3, ADE20K, 160k: 52.9 multi-scale mIoU (quoted by third parties, not reproduced)
# No settings are published; these are LV-ViT's, by the same group, with sliding-window test.
_base_ = '_base_/upernet_160k_ade20k_volo.py'
__variant = __import__('backbones').variant('volo_d3')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
