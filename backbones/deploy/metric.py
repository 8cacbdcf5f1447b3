"""Measuring a config's metric on its validation images, for a checkpoint or an exported file."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import supervision as sv
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from backbones.drawing.paint import Found
from backbones.drawing.panoptic import panoptic_map
from backbones.errors import UserError
from backbones.inference import Predictor
from backbones.openmmlab.build import enter_library

METRICS = {  # the first one present is the model's metric; the factor converts it to points
    'coco/segm_mAP': 100.0,
    'coco/bbox_mAP': 100.0,
    'coco_panoptic/PQ': 1.0,
    'mIoU': 1.0,
    'pascal_voc/mAP': 100.0,
}


class Validation:
    """A config's validation images with their metric.

    Args:
        cfg: config with `val_dataloader` and `val_evaluator`.

    Raises:
        UserError: the config has no validation set.
    """

    def __init__(self, cfg: Config) -> None:
        if not cfg.get('val_dataloader') or not cfg.get('val_evaluator'):
            raise UserError(
                f'{cfg.filename} has no validation set: a metric needs val_dataloader and '
                'val_evaluator'
            )
        enter_library(cfg)
        self.dataset = DATASETS.build(cfg.val_dataloader.dataset)
        self.evaluator = cfg.val_evaluator

    def __len__(self) -> int:
        return len(self.dataset)

    def evaluate(
        self, predictor: Predictor, indices: Iterable[int] | None = None
    ) -> dict[str, float]:
        """Evaluate a checkpoint or an exported file.

        Args:
            predictor: with a minimum score of 0.
            indices: images to use; all by default.

        Returns:
            The results of the config's metrics, by name.
        """
        evaluator = Evaluator(self.evaluator)
        evaluator.dataset_meta = self.dataset.metainfo
        count = 0
        for index in range(len(self)) if indices is None else indices:
            data = self.dataset[index]
            sample = data['data_samples']
            _unwrap_boxes(sample)
            found = predictor.predict(sample.img_path).found
            if predictor.model.panoptic and isinstance(found, sv.Detections):
                whole = panoptic_map(found, sample.ori_shape, len(predictor.meta['classes']))
                sem_seg = torch.from_numpy(whole)[None]
                sample.set_data(dict(pred_panoptic_seg=PixelData(sem_seg=sem_seg)))
            else:
                sample.set_data(as_fields(found))
            evaluator.process([sample], dict(inputs=[data['inputs']], data_samples=[sample]))
            count += 1
        return evaluator.evaluate(count)


def points(metrics: dict[str, float]) -> float:
    """Return a model's metric in points, from 0 to 100.

    Raises:
        UserError: there is none of `METRICS`.
    """
    for name, factor in METRICS.items():
        if name in metrics:
            return float(metrics[name]) * factor
    raise UserError(
        f'the metric of val_evaluator returns {", ".join(metrics)}; allowed: {", ".join(METRICS)}'
    )


def first_of(metrics: dict[str, float]) -> tuple[str, float]:
    """Return a model's metric with its name."""
    for name in (known.rpartition('/')[2] for known in METRICS):
        for key, value in metrics.items():
            if key.rpartition('/')[2] == name:
                return name, float(value)
    name, value = next(iter(metrics.items()))
    return name, float(value)


def as_fields(found: Found) -> dict[str, BaseDataElement]:
    """Return results as fields of OpenMMLab's data sample."""
    if not isinstance(found, sv.Detections):
        labels = torch.from_numpy(np.asarray(found, np.int64))[None]
        return dict(pred_sem_seg=PixelData(data=labels))
    assert found.class_id is not None and found.confidence is not None
    fields = dict(
        bboxes=torch.from_numpy(found.xyxy.astype(np.float32)),
        labels=torch.from_numpy(found.class_id),
        scores=torch.from_numpy(found.confidence.astype(np.float32)),
    )
    if found.mask is not None:
        fields['masks'] = torch.from_numpy(np.asarray(found.mask))
    return dict(pred_instances=InstanceData(**fields))


def _unwrap_boxes(sample: Any) -> None:
    """Turn a sample's boxes into tensors, as the model's data preprocessor would."""
    for instances in (sample.get('gt_instances'), sample.get('ignored_instances')):
        if instances is not None and hasattr(instances.get('bboxes'), 'tensor'):
            instances.bboxes = instances.bboxes.tensor
