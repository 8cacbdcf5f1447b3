# UperNet + CSWin-L, ADE20K, 160k, 640x640: 54.0 mIoU (published, not reproduced here)
# From ImageNet-22k weights; the authors' README says 53.4. Only the size is published: else as
# CSWin-B at 512 pixels.
_base_ = ['_base_/upernet_160k_ade20k_cswin_640.py', '_base_/backbones/cswin_l.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.6),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
