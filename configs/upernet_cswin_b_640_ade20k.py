# UperNet + CSWin-B, ADE20K, 160k, 640x640: 51.8 mIoU (published, not reproduced here)
# Only the size is published: else as at 512 pixels. The authors' ImageNet-22k file of B is not
# published, and this starts from ImageNet-1K: `tools/train.py CONFIG --pretrained FILE` takes one.
_base_ = '_base_/upernet_160k_ade20k_cswin_640.py'
__variant = __import__('backbones').variant('cswin_b')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
