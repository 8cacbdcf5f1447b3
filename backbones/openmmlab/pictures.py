"""Pictures of what a model predicts, beside the truth."""

from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, PixelData

READABLE = 384  # pixels; the least long side of a picture


class SavePictures(Hook):
    """Write a picture of every tested image, ground truth beside prediction, to one folder."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        for sample in outputs or ():
            name = Path(sample.img_path).with_suffix('.png').name
            image = mmcv.imread(sample.img_path, channel_order='rgb')
            factor = -(-READABLE // max(image.shape[:2]))
            image, sample = enlarge(image, sample.cpu(), factor)
            runner.visualizer.add_datasample(
                name, image, data_sample=sample, show=False, out_file=str(self.folder / name)
            )


def enlarge(image: np.ndarray, sample: BaseDataElement, factor: int) -> tuple:
    """Scale a tested image with its boxes, masks and label maps by a whole number.

    Labels on pictures of thumbnails could not be read.
    """
    if factor == 1:
        return image, sample
    image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    sample = sample.clone()
    for field in ('gt_instances', 'pred_instances'):
        found = getattr(sample, field, None)
        if found is not None and 'bboxes' in found:
            found = found.clone()  # the clone of a sample shares its parts
            found.bboxes = found.bboxes * factor
            if 'masks' in found:
                masks = found.masks
                masks = masks.to_ndarray() if hasattr(masks, 'to_ndarray') else np.asarray(masks)
                found.masks = masks.repeat(factor, 1).repeat(factor, 2)
            setattr(sample, field, found)
    for field in ('gt_sem_seg', 'pred_sem_seg'):
        found = getattr(sample, field, None)
        if found is not None:
            larger = found.data.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
            setattr(sample, field, PixelData(data=larger))
    return image, sample
