"""Pictures of OpenMMLab's data samples, and their contents in supervision's types."""

import os
import traceback
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import supervision as sv
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, InstanceData

from backbones.drawing.captions import Picture
from backbones.drawing.paint import Found
from backbones.drawing.panoptic import segments
from backbones.drawing.pictures import SCORE, Half, picture, save
from backbones.errors import UserError, first_line
from backbones.openmmlab import console
from backbones.pixels import view


def draw(
    image: Picture, sample: BaseDataElement, meta: Mapping, *, score: float = SCORE
) -> Picture:
    """Draw a prediction on its image.

    Args:
        image: (H, W, 3) RGB, in the coordinates of the boxes, masks and label maps in `sample`.
        sample: a DetDataSample of MMDetection or a SegDataSample of MMSegmentation.
        meta: the dataset's metainfo: `classes` and, if present, their colours, `palette`.
        score: minimum score of drawn instances.

    Returns:
        (h, w, 3) RGB: the image, with its long side enlarged to at least 288 pixels or reduced to
        at most 3000. Instances have names and scores; if these would hide the image, or for a
        label map, a legend is added below.

    Raises:
        UserError: the sample predicts neither boxes nor a label map.
    """
    return picture(image, [Half('', predicted(sample, score, meta))], meta)


def side_by_side(
    image: Picture, sample: BaseDataElement, meta: Mapping, *, score: float = SCORE
) -> Picture:
    """Draw the ground truth, and the prediction beside it, or below it if the image is wide.

    Args, Returns, Raises: see `draw`. If the ground truth was not loaded, the bare image is drawn.
    """
    truth, found = found_in(sample, 'gt'), predicted(sample, score, meta)
    left = 'ground truth' if truth is not None else 'image (no ground truth)'
    right = f'prediction, score >= {score:g}' if isinstance(found, sv.Detections) else 'prediction'
    return picture(image, [Half(left, truth), Half(right, found)], meta)


def predicted(sample: BaseDataElement, score: float, meta: Mapping) -> Found:
    """Return the predicted label map, or the instances with a score of at least `score`.

    The segments of a panoptic model are also drawn as instances; see `segments`.

    Args:
        sample, score, meta: see `draw`.

    Raises:
        UserError: there is neither.
    """
    if 'pred_panoptic_seg' in sample:
        panoptic = np.asarray(sample.pred_panoptic_seg.sem_seg.cpu())[0]
        return segments(panoptic, len(meta['classes']))
    found = found_in(sample, 'pred')
    if found is None:
        raise UserError(
            f'this {type(sample).__name__} has neither pred_instances with boxes nor pred_sem_seg '
            f'(it has {", ".join(sample.keys()) or "nothing"}): only boxes, instance masks and '
            'label maps can be drawn'
        )
    if isinstance(found, sv.Detections) and found.confidence is not None:
        return found.select(found.confidence >= score)
    return found


def found_in(sample: BaseDataElement, kind: str) -> Found | None:
    """Return a sample's instances or label map, on the CPU; None if it has neither.

    Args:
        kind: 'gt' or 'pred'.
    """
    instances = getattr(sample, f'{kind}_instances', None)
    if instances is not None and 'bboxes' in instances:
        return _detections(instances)
    labels = getattr(sample, f'{kind}_sem_seg', None)
    return None if labels is None else np.asarray(labels.data.cpu())[0]


def _detections(instances: InstanceData) -> sv.Detections:
    boxes = instances.bboxes
    # numpy has no bfloat16, which autocast returns
    boxes = np.asarray(getattr(boxes, 'tensor', boxes).cpu().float(), float).reshape(-1, 4)
    masks = instances.get('masks')
    if masks is not None:
        masks = masks.to_ndarray() if hasattr(masks, 'to_ndarray') else masks.cpu().numpy()
    scores = instances.get('scores')
    return sv.Detections(
        xyxy=boxes,
        class_id=np.asarray(instances.labels.cpu(), int),
        confidence=None if scores is None else np.asarray(scores.cpu().float(), float),
        mask=None if masks is None else masks.astype(bool),
    )


class SavePictures(Hook):
    """Write a picture of every tested image, ground truth beside prediction.

    A picture that cannot be written does not stop the test before its metrics; see `failed`.

    Args:
        folder: for the pictures, with the subfolders of the dataset's image folder.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.failed: list[str] = []

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        dataset = runner.test_dataloader.dataset
        prefixes = getattr(dataset, 'data_prefix', {})
        images = prefixes.get('img') or prefixes.get('img_path') or ''
        for sample in outputs or ():
            inside = Path(os.path.relpath(sample.img_path, images))
            name = inside.name if '..' in inside.parts else inside
            path = (self.folder / name).with_suffix('.png')
            try:
                image = view(sample.img_path, dataset.metainfo.get('bands'))
                drawn = side_by_side(image, sample, dataset.metainfo)[..., ::-1]
                save(path, drawn)
            except Exception as error:  # the drawing and writing libraries may raise anything
                self.failed.append(f'{path}: {first_line(error)}')
                console.to_the_file(runner.logger, traceback.format_exc())
