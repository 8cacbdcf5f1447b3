# Recipe: RetinaNet, COCO 2017, 12 epochs, batch 16 (8 GPUs x 2), AdamW.
_base_ = [
    'models/retinanet.py',
    'datasets/coco_detection.py',
    'schedules/1x.py',
    'optimizers/adamw.py',
    'runtime/detection.py',
]
