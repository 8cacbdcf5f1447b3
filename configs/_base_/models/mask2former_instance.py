# Mask2Former for instances, settings of MMDetection's Swin models
# (mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco.py): the segmentation head, with other names.
# A leaf sets model.backbone and model.panoptic_head.in_channels.
_base_ = ['mask2former.py']

__semantic = ('num_classes', 'align_corners', 'train_cfg')
__head = {k: v for k, v in _base_.model.decode_head.items() if k not in __semantic}
__classes = dict(num_things_classes=80, num_stuff_classes=0)

model = dict(
    _delete_=True,
    type='Mask2Former',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    panoptic_head=dict(
        __head, **__classes, loss_cls=dict(__head['loss_cls'], class_weight=[1.0] * 80 + [0.1])
    ),
    panoptic_fusion_head=dict(type='MaskFormerFusionHead', loss_panoptic=None, **__classes),
    train_cfg=_base_.model.decode_head.train_cfg,
    test_cfg=dict(panoptic_on=False, semantic_on=False, instance_on=True, max_per_image=100),
)
