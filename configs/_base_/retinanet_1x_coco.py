# Recipe: RetinaNet, COCO 2017, 12 epochs, batch 16 (8 GPUs x 2), AdamW.
_base_ = [
    'models/retinanet.py',
    'datasets/coco_detection.py',
    'schedules/adamw_1x.py',
    'runtime/detection.py',
]
