# Cascade Mask R-CNN with Swin's box heads (arXiv:2103.14030, A2.2): four convolutions with
# BatchNorm and one linear layer each, boxes per class, GIoU loss on decoded boxes.
_base_ = ['cascade_mask_rcnn.py']

model = dict(
    roi_head=dict(
        bbox_head=[
            dict(
                type='ConvFCBBoxHead',
                num_shared_convs=4,
                num_shared_fcs=1,
                in_channels=256,
                conv_out_channels=256,
                fc_out_channels=1024,
                roi_feat_size=7,
                num_classes=80,
                norm_cfg=dict(type='SyncBN', requires_grad=True),
                bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[xy, xy, wh, wh]),
                reg_class_agnostic=False,
                reg_decoded_bbox=True,
                loss_cls=dict(type='CrossEntropyLoss'),
                loss_bbox=dict(type='GIoULoss', loss_weight=10.0),
            )
            for xy, wh in ((0.1, 0.2), (0.05, 0.1), (0.033, 0.067))
        ],
    ),
)
