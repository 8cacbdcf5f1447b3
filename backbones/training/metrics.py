"""Segmentation metric that keeps the IoU of each class."""

from mmengine.registry import METRICS
from mmseg.evaluation import IoUMetric


@METRICS.register_module()
class ClasswiseIoUMetric(IoUMetric):
    """MMSegmentation's IoUMetric, with the last evaluation's IoU per class in `class_iou`.

    Attributes:
        class_iou: class name -> IoU in percent, set on rank 0.
    """

    class_iou: dict[str, float] = {}

    def compute_metrics(self, results: list) -> dict[str, float]:
        areas = [sum(area) for area in zip(*results)]
        iou = self.total_area_to_metrics(*areas, ['mIoU'], self.nan_to_num, self.beta)['IoU']
        names = self.dataset_meta['classes']
        self.class_iou = {n: round(float(v) * 100, 2) for n, v in zip(names, iou)}
        return super().compute_metrics(results)
