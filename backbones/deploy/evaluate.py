"""The metric of an exported file on a config's validation set, as `tools/test.py` computes it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import supervision as sv
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.structures import PixelData

from backbones.deploy.compare import Outputs
from backbones.deploy.metric import METRICS, Predicted, Validation, as_fields
from backbones.errors import UserError
from backbones.inference.pasting import paste
from backbones.inference.shaping import resized

Run = Callable[[list[np.ndarray]], list[Outputs]]


class FileValidation(Validation):
    """A config's validation set, for files.

    Args:
        cfg: see `Validation`.
        size: height and width in pixels of a file's images; None if it takes any.
        wrapped: the model from `exportable`, which has the thresholds.
    """

    def __init__(self, cfg: Config, size: tuple[int, int] | None, wrapped: Any) -> None:
        super().__init__(cfg)
        self.size, self.wrapped = size, wrapped

    def metric(self, run: Run, indices: Sequence[int] | None = None) -> float:
        """Return the metric in points, from 0 to 100.

        Args:
            run: the file; see `compare.runner`.
            indices: images to use; all by default.

        Raises:
            UserError: the config's metric is none of `METRICS`.
        """

        def predict(data: dict) -> Predicted:
            image = np.ascontiguousarray(data['inputs'].numpy().transpose(1, 2, 0)[..., ::-1])
            image = resized(image, self.size) if self.size else image
            (outputs,) = run([image])
            return self._fields(outputs, image.shape[:2], data['data_samples'].ori_shape[:2])

        found = self.evaluate(predict, indices)
        for name, factor in METRICS.items():
            if name in found:
                return float(found[name]) * factor
        raise UserError(
            f'the metric of val_evaluator gives {", ".join(found)}; allowed: {", ".join(METRICS)}'
        )

    def _fields(
        self, outputs: Outputs, size: tuple[int, ...], original: tuple[int, int]
    ) -> Predicted:
        """Return a file's outputs for an image of `size` in pixels of the original image."""
        height, width = original
        if 'logits' in outputs:
            logits = torch.from_numpy(outputs['logits'])
            logits = F.interpolate(logits, (height, width), mode='bilinear')
            if logits.shape[1] == 1:
                labels = logits[:, 0].sigmoid() > self.wrapped.foreground_threshold
            else:
                labels = logits.argmax(1)
            return as_fields(labels[0].numpy())
        fields: Predicted = {}
        if 'panoptic' in outputs:
            panoptic = torch.from_numpy(outputs['panoptic']).float()[None]
            panoptic = F.interpolate(panoptic, (height, width))[0].int()
            fields['pred_panoptic_seg'] = PixelData(sem_seg=panoptic)
        if 'boxes' not in outputs:
            return fields
        boxes = outputs['boxes'] * np.array([width / size[1], height / size[0]] * 2, np.float32)
        masks = None
        if 'masks' in outputs:
            masks = outputs['masks']
            if masks.shape[1:] == tuple(size):
                whole = torch.from_numpy(masks)[None]
                masks = F.interpolate(whole, (height, width), mode='bilinear')[0].numpy()
            else:
                masks = paste(masks, boxes, (height, width))
            masks = masks >= self.wrapped.mask_threshold
        return fields | as_fields(
            sv.Detections(
                xyxy=boxes, mask=masks, confidence=outputs['scores'], class_id=outputs['labels']
            )
        )
