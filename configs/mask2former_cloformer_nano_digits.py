# Mask2Former + CloFormer nano, embedded digits, 1200 iterations: 17.9 ± 5.1 mIoU (ours)
_base_ = '_base_/mask2former_digits.py'
__arch = __import__('backbones').CloFormer.NANO

model = dict(
    backbone=dict(type='CloFormer', arch=__arch),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
