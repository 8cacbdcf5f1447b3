# SegFormer + CloFormer nano, small datasets, fitted to them: docs/own_data.md (measured here)
_base_ = '_base_/segformer_small.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
