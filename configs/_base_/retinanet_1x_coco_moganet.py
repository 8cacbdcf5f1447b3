# Recipe: RetinaNet, COCO, 1x, as published for MogaNet.
_base_ = [
    'models/retinanet.py',
    'datasets/coco_detection.py',
    'schedules/1x.py',
    'optimizers/adamw_moganet.py',
    'runtime/detection.py',
]
