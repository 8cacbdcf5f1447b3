# Recipe: small Mask R-CNN, small datasets, AdamW, from scratch on CPU.
_base_ = [
    'models/mask_rcnn_small.py',
    'datasets/small_instance.py',
    'schedules/small_detection.py',
]

# objects cut off at a tile's edge and marked as crowds are not background
model = dict(
    train_cfg=dict(
        rpn=dict(assigner=dict(ignore_iof_thr=0.5)), rcnn=dict(assigner=dict(ignore_iof_thr=0.5))
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200), rcnn=dict(max_per_img=100)),
)
default_hooks = dict(checkpoint=dict(save_best='coco/segm_mAP_50'))
