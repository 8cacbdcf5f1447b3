"""The metric of a config, of predictions that `Predictor` made."""

import numpy as np
import supervision as sv
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from backbones.drawing.paint import Found
from backbones.errors import UserError
from backbones.inference import Predictor
from backbones.openmmlab.build import enter_library

FIRST = ('segm_mAP', 'bbox_mAP', 'mIoU')  # the number that stands for a model


def evaluate(cfg: Config, predictor: Predictor) -> dict[str, float]:
    """Evaluate predictions on a config's validation images.

    Args:
        cfg: of a detector or segmentor.
        predictor: with a minimum score of 0; a checkpoint or an exported file.

    Returns:
        The numbers of the config's own metrics, by name.
    """
    if not cfg.get('val_dataloader') or not cfg.get('val_evaluator'):
        raise UserError(f'{cfg.filename} has no validation set, so there is no metric')
    enter_library(cfg)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    evaluator = Evaluator(cfg.val_evaluator)
    evaluator.dataset_meta = dataset.metainfo
    for data in dataset:
        sample = data['data_samples']
        _fill(sample, predictor.predict(sample.img_path).found)
        evaluator.process(data_samples=[sample], data_batch=None)
    return evaluator.evaluate(len(dataset))


def first_of(metrics: dict[str, float]) -> tuple[str, float]:
    """Return the number that stands for a model, with its name."""
    for name in FIRST:
        for key, value in metrics.items():
            if key.rpartition('/')[2] == name:
                return name, float(value)
    name, value = next(iter(metrics.items()))
    return name, float(value)


def _fill(sample: BaseDataElement, found: Found) -> None:
    """Put what was found into OpenMMLab's data sample, and make its boxes tensors.

    The latter is otherwise the work of the model's data preprocessor.
    """
    for instances in (sample.get('gt_instances'), sample.get('ignored_instances')):
        if instances is not None and hasattr(instances.get('bboxes'), 'tensor'):
            instances.bboxes = instances.bboxes.tensor
    if not isinstance(found, sv.Detections):
        labels = torch.from_numpy(np.asarray(found, np.int64))[None]
        sample.pred_sem_seg = PixelData(data=labels)
        return
    assert found.class_id is not None and found.confidence is not None
    found_here = dict(
        bboxes=torch.from_numpy(found.xyxy.astype(np.float32)),
        labels=torch.from_numpy(found.class_id),
        scores=torch.from_numpy(found.confidence.astype(np.float32)),
    )
    if found.mask is not None:
        found_here['masks'] = torch.from_numpy(np.asarray(found.mask))
    sample.pred_instances = InstanceData(**found_here)
