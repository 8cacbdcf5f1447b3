# UperNet + VOLO nano, embedded digits, 1500 iterations: 48.1 ± 2.0 mIoU (ours)
_base_ = '_base_/upernet_digits.py'
__arch = __import__('backbones').VOLO.NANO

model = dict(
    backbone=dict(type='VOLO', arch=__arch, pos_embed_size=8),
    decode_head=dict(in_channels=list(__arch['dims'])),
)
