# Recipe: Faster R-CNN, COCO, 1x, with MogaNet's published settings of Mask R-CNN.
_base_ = [
    'models/faster_rcnn.py',
    'datasets/coco_detection.py',
    'schedules/1x.py',
    'optimizers/adamw_moganet.py',
    'runtime/detection.py',
]
