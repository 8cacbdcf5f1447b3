# UperNet + CSWin-B, ADE20K, 160k, 640x640: 51.8 mIoU (published, not reproduced here)
# Only the size is published; the rest is as at 512 pixels. The authors' ImageNet-22k file of B is
# not published, so this starts from ImageNet-1K; `--pretrained FILE` uses another file.
_base_ = '_base_/upernet_160k_ade20k_cswin_640.py'
__variant = __import__('backbones').variant('cswin_b')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
