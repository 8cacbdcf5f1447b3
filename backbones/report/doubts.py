"""Counting labels that look wrong because the model is sure of another class or finds nothing."""

from dataclasses import dataclass

import numpy as np
import supervision as sv
from mmengine.structures import BaseDataElement

SURE = 0.8  # score of an instance that contradicts the labels
CERTAIN = 0.95  # the same for the probability of a pixel's class
ANY = 0.05  # score of an instance that supports a label
APART, SAME = 0.1, 0.5  # IoU below which boxes show different objects, and above which the same


@dataclass(frozen=True)
class Doubts:
    """The evidence against the labels of one image.

    Args:
        labels: number of boxes, or of labelled pixels.
        missing: sure instances without a label near them.
        other: sure instances on a label of another class; or pixels certainly of another class.
        unfound: labels without an instance near them.
    """

    labels: int = 0
    missing: int = 0
    other: int = 0
    unfound: int = 0


def of_boxes(truth: sv.Detections, found: sv.Detections, counted: sv.Detections) -> Doubts:
    """Compare the boxes of one image.

    Args:
        truth: the labels.
        found: all predictions.
        counted: the predictions to compare with the labels, without those on crowds.
    """
    assert counted.confidence is not None and found.confidence is not None
    sure = counted.select(counted.confidence >= SURE)
    near = found.select(found.confidence >= ANY)
    overlap = _overlaps(truth, sure)
    best, of_best = overlap.max(0, initial=0), None
    other = 0
    if len(truth) and len(sure):
        assert truth.class_id is not None and sure.class_id is not None
        of_best = truth.class_id[overlap.argmax(0)]
        # a second prediction of the right class makes the first one less sure
        other = int(((best >= SAME) & (of_best != sure.class_id)).sum())
    unfound = (_overlaps(truth, near).max(1, initial=0) < APART).sum()
    return Doubts(len(truth), int((best < APART).sum()), other, int(unfound))


def _overlaps(truth: sv.Detections, found: sv.Detections) -> np.ndarray:
    if not len(truth) or not len(found):
        return np.zeros((len(truth), len(found)))
    return sv.box_iou_batch(truth.xyxy, found.xyxy)


def of_pixels(truth: np.ndarray, sample: BaseDataElement, classes: int) -> Doubts:
    """Compare a label map with the model's probabilities, if the sample has its logits.

    Args:
        truth: (H, W) labels; those that are not classes are ignored.
    """
    logits = getattr(sample, 'seg_logits', None)
    known = (truth >= 0) & (truth < classes)
    if logits is None or logits.data.shape[1:] != truth.shape or len(logits.data) != classes:
        return Doubts(int(known.sum()))
    best, label = logits.data.float().softmax(0).max(0)
    certain = (best >= CERTAIN).cpu().numpy() & known
    other = certain & (label.cpu().numpy() != truth)
    return Doubts(int(known.sum()), other=int(other.sum()))
