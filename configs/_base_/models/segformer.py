# SegFormer's head (arXiv:2105.15203), settings of MMSegmentation's MiT-B1 model: all four levels,
# each projected by a 1x1 convolution and enlarged to stride 4, without a neck.
# A leaf sets model.backbone and model.decode_head.in_channels.
_base_ = ['segmentor.py']

model = dict(
    type='EncoderDecoder',
    decode_head=dict(
        type='SegformerHead',
        in_index=[0, 1, 2, 3],
        channels=256,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
