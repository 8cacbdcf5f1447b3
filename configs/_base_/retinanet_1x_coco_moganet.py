# Recipe: RetinaNet, COCO, 1x, as published for MogaNet.
_base_ = [
    'models/retinanet.py',
    'datasets/coco_detection.py',
    'schedules/adamw_1x_moganet.py',
    'runtime/detection.py',
]
