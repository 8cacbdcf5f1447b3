# UperNet + DilateFormer-B, ADE20K, 160k: 50.4 mIoU (quoted by third parties; not reproduced)
# No settings are published; this is Swin's recipe.
_base_ = '_base_/upernet_160k_ade20k.py'
__variant = __import__('backbones').variant('dilateformer_b')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
