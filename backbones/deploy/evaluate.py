"""The metric of an exported file on a config's validation set, as `tools/test.py` computes it."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS
from mmengine.structures import InstanceData, PixelData

from backbones.deploy.compare import Outputs
from backbones.errors import UserError
from backbones.inference.pasting import paste
from backbones.openmmlab.build import enter_library

METRICS = {  # the first that is there decides, times the factor for points
    'coco/segm_mAP': 100.0,
    'coco/bbox_mAP': 100.0,
    'coco_panoptic/PQ': 1.0,
    'mIoU': 1.0,
    'pascal_voc/mAP': 100.0,
}
Run = Callable[[list[np.ndarray]], list[Outputs]]


class Validation:
    """A config's validation set.

    Args:
        cfg: config with `val_dataloader` and `val_evaluator`.
        size: height and width in pixels of a file's images; None if it takes any.
        wrapped: the model from `exportable`, which has the thresholds.

    Raises:
        UserError: the config has no validation set.
    """

    def __init__(self, cfg: Config, size: tuple[int, int] | None, wrapped: Any) -> None:
        if not cfg.get('val_dataloader') or not cfg.get('val_evaluator'):
            raise UserError('int8 needs a validation set: the config has no val_dataloader')
        enter_library(cfg)
        self.dataset = DATASETS.build(cfg.val_dataloader.dataset)
        self.evaluator = cfg.val_evaluator
        self.size, self.wrapped = size, wrapped

    def __len__(self) -> int:
        return len(self.dataset)

    def image(self, index: int) -> np.ndarray:
        """Return an image as the file takes it, RGB (H, W, 3) of bytes."""
        return self._read(self.dataset[index]['inputs'])

    def _read(self, pixels: torch.Tensor) -> np.ndarray:
        image = np.ascontiguousarray(pixels.numpy().transpose(1, 2, 0)[..., ::-1])
        if self.size and image.shape[:2] != self.size:
            image = cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_LINEAR)
        return image

    def metric(self, run: Run, indices: Sequence[int] | None = None) -> float:
        """Return the metric in points, from 0 to 100.

        Args:
            run: the file; see `compare.runner`.
            indices: images to use; all by default.

        Raises:
            UserError: the config's metric is none of `METRICS`.
        """
        evaluator = Evaluator(self.evaluator)
        evaluator.dataset_meta = self.dataset.metainfo
        count = 0
        for index in range(len(self)) if indices is None else indices:
            data = self.dataset[index]
            image = self._read(data['inputs'])
            (outputs,) = run([image])
            sample = data['data_samples']
            self._predict(sample, outputs, image.shape[:2])
            evaluator.process([sample], dict(inputs=[data['inputs']], data_samples=[sample]))
            count += 1
        found = evaluator.evaluate(count)
        for name, factor in METRICS.items():
            if name in found:
                return float(found[name]) * factor
        raise UserError(
            f'the metric of val_evaluator gives {", ".join(found)}; allowed: {", ".join(METRICS)}'
        )

    def _predict(self, sample: Any, outputs: Outputs, size: tuple[int, ...]) -> None:
        """Write a file's outputs into a data sample, in pixels of the original image."""
        height, width = sample.ori_shape[:2]
        if 'logits' in outputs:
            logits = torch.from_numpy(outputs['logits'])
            logits = torch.nn.functional.interpolate(logits, (height, width), mode='bilinear')
            if logits.shape[1] == 1:
                labels = (logits[:, 0].sigmoid() > self.wrapped.foreground_threshold).long()
            else:
                labels = logits.argmax(1)
            sample.set_data(dict(pred_sem_seg=PixelData(data=labels)))
            return
        if 'panoptic' in outputs:
            panoptic = torch.from_numpy(outputs['panoptic']).float()[None]
            panoptic = torch.nn.functional.interpolate(panoptic, (height, width))[0].int()
            sample.pred_panoptic_seg = PixelData(sem_seg=panoptic)
        if 'boxes' not in outputs:
            return
        scale = np.array([width / size[1], height / size[0]] * 2, np.float32)
        boxes = outputs['boxes'] * scale
        found = InstanceData(
            bboxes=torch.from_numpy(boxes),
            scores=torch.from_numpy(outputs['scores']),
            labels=torch.from_numpy(outputs['labels']),
        )
        if 'masks' in outputs:
            masks = outputs['masks']
            if masks.shape[1:] == tuple(size):
                whole = torch.nn.functional.interpolate(
                    torch.from_numpy(masks)[None], (height, width), mode='bilinear'
                )[0].numpy()
            else:
                whole = paste(masks, boxes, (height, width))
            found.masks = torch.from_numpy(whole >= self.wrapped.mask_threshold)
        sample.pred_instances = found
