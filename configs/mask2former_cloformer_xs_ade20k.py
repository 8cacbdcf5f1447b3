# Mask2Former + CloFormer-XS, ADE20K, 160k: no published result
# Settings: those of Swin in MMSegmentation; drop path as in UperNet.
_base_ = '_base_/mask2former_160k_ade20k.py'
__variant = __import__('backbones').variant('cloformer_xs')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
)
