# Recipe: Cascade Mask R-CNN with Swin's box heads, COCO 2017, 36 epochs, multi-scale crops, batch
# 16 (8 GPUs x 2), AdamW.
_base_ = [
    'models/cascade_mask_rcnn_giou.py',
    'datasets/coco_instance_crops.py',
    'schedules/3x.py',
    'optimizers/adamw.py',
    'runtime/detection.py',
]
