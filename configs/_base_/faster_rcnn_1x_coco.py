# Recipe: Faster R-CNN, COCO 2017, 12 epochs, batch 16 (8 GPUs x 2), AdamW.
_base_ = [
    'models/faster_rcnn.py',
    'datasets/coco_detection.py',
    'schedules/1x.py',
    'optimizers/adamw.py',
    'runtime/detection.py',
]
