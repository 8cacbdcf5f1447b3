# Recipe: Mask R-CNN, COCO 2017, 36 epochs, multi-scale crops, batch 16 (8 GPUs x 2), AdamW.
_base_ = [
    'models/mask_rcnn.py',
    'datasets/coco_instance_crops.py',
    'schedules/3x.py',
    'optimizers/adamw.py',
    'runtime/detection.py',
]
