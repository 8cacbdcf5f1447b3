# UperNet + CSWin-L, ADE20K, 160k, 640x640: 54.0 mIoU (published, not reproduced here)
# From ImageNet-22k weights; the authors' README says 53.4. Only the size is published; the rest is
# as for CSWin-B at 512 pixels.
_base_ = '_base_/upernet_160k_ade20k_cswin_640.py'
__variant = __import__('backbones').variant('cswin_l')

model = dict(
    backbone=__variant.settings('upernet'),
    decode_head=dict(in_channels=__variant.channels),
    auxiliary_head=dict(in_channels=__variant.channels[2]),
)
