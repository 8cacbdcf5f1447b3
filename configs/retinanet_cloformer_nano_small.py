# RetinaNet + CloFormer nano, small datasets, 20 epochs: AP50 0.34 ± 0.04 on trees (ours)
_base_ = '_base_/retinanet_small.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch), neck=dict(in_channels=list(__arch['dims'][1:]))
)
