# Recipe: Faster R-CNN, COCO, 1x, with MogaNet's published settings of Mask R-CNN.
_base_ = [
    'models/faster_rcnn.py',
    'datasets/coco_detection.py',
    'schedules/adamw_1x_moganet.py',
    'runtime/detection.py',
]
