"""Non-maximum suppression and box overlaps."""

import ctypes

import torch
from torch import Tensor

from backbones.openmmlab.mmcv_ops.support import operator, torchvision, widen


@operator
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Select the boxes that overlap no better box.

    Args:
        boxes: (N, 4) corners x1, y1, x2, y2, in pixels.
        scores: (N,).
        iou_threshold: a box is dropped if its IoU with a better kept box is above this.
        offset: 1 includes both border pixels in widths and heights, as mmdet 1.x does; else 0.

    Returns:
        (kept,) indices, best score first.
    """
    dtype = torch.promote_types(boxes.dtype, scores.dtype)
    boxes = _grown(boxes, offset)
    threshold = ctypes.c_float(iou_threshold).value  # torchvision's is a double, mmcv's a float32
    # equal scores keep the order of mmcv's sort, since torchvision's sort is stable
    scores, order = scores.sort(descending=True)
    return order[torchvision().nms(widen(boxes[order], dtype), widen(scores, dtype), threshold)]


@operator
def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of boxes that overlap a better box, starting with the best.

    Args:
        boxes, scores, offset: see `nms`.
        dets: (N, 5), overwritten: the first rows hold the kept boxes with their new scores.
        iou_threshold: minimum IoU for methods 0 and 1.
        sigma: the Gaussian's.
        min_score: a box is dropped when its score falls below this.
        method: 0 sets the score to 0, 1 multiplies it by 1 - IoU, 2 by exp(-IoU^2 / sigma).

    Returns:
        (kept,) indices, best new score first.

    Source: arXiv:1704.04503, Sec. 3.
    """
    left, scores = torch.arange(len(boxes), device=boxes.device), scores.clone()
    kept: list[Tensor] = []
    while len(left):
        best = left[scores[left].argmax()]
        dets[len(kept)] = torch.cat([boxes[best], scores[best, None]])
        kept.append(best)
        left = left[left != best]
        overlap = _overlaps(boxes[best, None], boxes[left], offset)[0]
        if method == 2:
            scores[left] *= torch.exp(-(overlap**2) / sigma)
        else:
            lowered = 1 - overlap if method == 1 else torch.zeros_like(overlap)
            scores[left] *= torch.where(overlap >= iou_threshold, lowered, 1.0)
        left = left[scores[left] >= min_score]
    return torch.stack(kept) if kept else left


@operator
def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Group boxes under the best box that they overlap.

    Args:
        dets: (N, 5) corners and score.
        iou_threshold: a box joins the group of a better one if their IoU is at least this.

    Returns:
        Indices by group; groups, and boxes within them, are sorted by score, best first.
    """
    left, groups = dets[:, 4].argsort(descending=True), []
    threshold = ctypes.c_float(iou_threshold).value
    while len(left):
        near = _overlaps(dets[left[:1], :4], dets[left, :4])[0] >= threshold
        near[0] = True  # a box without area overlaps nothing, not even itself
        groups.append(left[near].tolist())
        left = left[~near]
    return groups


@operator
def bbox_overlaps(
    bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int
) -> None:
    """Write the overlap of each pair of boxes to `ious`.

    Args:
        bboxes1: (M, 4) corners x1, y1, x2, y2.
        bboxes2: (N, 4).
        ious: (M, N), or (M,) if aligned; overwritten.
        mode: 0 divides by the union, 1 by the area of the first box.
        aligned: compare row by row.
        offset: see `nms`.
    """
    ious.copy_(_overlaps(bboxes1, bboxes2, offset, of_first=mode == 1, aligned=aligned))


def _overlaps(
    a: Tensor, b: Tensor, offset: int = 0, *, of_first: bool = False, aligned: bool = False
) -> Tensor:
    """Return the intersection over the union, or over the area of `a`; see `bbox_overlaps`."""
    a, b = _grown(a, offset), _grown(b, offset)
    if not aligned:
        a = a[:, None]
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((x[..., 2:] - x[..., :2]).prod(-1) for x in (a, b))
    return both / (area_a if of_first else area_a + area_b - both)


def _grown(boxes: Tensor, offset: int) -> Tensor:
    """Return the boxes with their far corner moved out by `offset` pixels."""
    return torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1) if offset else boxes
