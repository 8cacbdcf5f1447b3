"""Detectors with dense predictions: RetinaNet, ATSS, GFL, FCOS, RTMDet, SSD, YOLO, ..."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.deploy.dense_heads import Kind, kind_of
from backbones.deploy.select import Boxes, apart, best, larger, rows


class Candidates(NamedTuple):
    """Decoded pairs of place and class of B images, N each.

    Args:
        boxes: (B, N, 4) corners.
        scores, labels, levels: (B, N).
        valid: (B, N) whether the score of the class is above the threshold.
        extras: (B, N, ...) priors and, if the head has any, further values of each pair.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    levels: Tensor
    valid: Tensor
    extras: list[Tensor]


def candidates(head: Any, kind: Kind, maps: Any, size: Tensor, least: float) -> Candidates:
    """Decode the best pairs of place and class of each level and image.

    Args:
        head: a dense head of MMDetection; its `nms_pre` is the number per level.
        kind: how to read its output.
        maps: its output.
        size: (2) height and width of the images without padding, in pixels.
        least: minimum score.
    """
    cfg = head.test_cfg
    found = []
    for i, level in enumerate(kind.levels(head, maps)):
        scores, place, label = best(level.scores, cfg.get('nms_pre', -1))
        deltas, anchors = rows(level.deltas, place), level.priors[place]
        boxes = kind.decode(head, anchors.flatten(0, 1), deltas.flatten(0, 1), size)
        boxes = boxes.unflatten(0, scores.shape)
        valid = scores > least
        if level.labels is not None:
            label = level.labels.gather(1, place)
        if level.factors is not None:
            scores = scores * level.factors.gather(1, place)
        extras = [anchors, *([rows(level.extras, place)] if level.extras is not None else [])]
        found.append((boxes, scores, label, torch.full_like(label, i), valid, *extras))
    boxes, scores, labels, levels, valid, *extras = (torch.cat(part, 1) for part in zip(*found))
    if cfg.get('min_bbox_size', -1) >= 0:
        valid = valid & larger(boxes, cfg['min_bbox_size'])
    return Candidates(boxes, scores, labels, levels, valid, extras)


def choose(
    found: Candidates, groups: Tensor, cfg: Any, batch: int
) -> tuple[Boxes, Tensor, list[Tensor]]:
    """Keep the valid boxes that overlap no better box of their group and image.

    Args:
        found: the candidates.
        groups: (B, N); boxes of different groups do not compete.
        cfg: a head's `test_cfg`.
        batch: number of images.

    Returns:
        The boxes, their groups, and their extras.
    """
    image, place = found.valid.nonzero(as_tuple=True)
    parts = (found.boxes, found.scores, found.labels, groups, *found.extras)
    boxes, scores, labels, groups, *extras = (part[image, place] for part in parts)
    most = cfg.get('max_per_img', -1)
    kept = apart(boxes, scores, groups, image, cfg.get('nms'), batch=batch, count=most)
    chosen = Boxes(boxes, scores, labels, image).take(kept)
    return chosen, groups[kept], [part[kept] for part in extras]


class OneStage(nn.Module):
    """From normalised, padded images to boxes, scores, labels and counts.

    (B, 3, H, W) and `size` (2) -> (N, 4) corners in pixels, (N), (N) class numbers, (B).
    """

    task = 'boxes'
    outputs: tuple[str, ...] = ('boxes', 'scores', 'labels', 'counts')

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.kind = kind_of(model.bbox_head)
        self.score_threshold = model.bbox_head.test_cfg.get('score_thr', 0)

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        head = self.model.bbox_head
        maps = head(self.model.extract_feat(image))
        found = candidates(head, self.kind, maps, size, self.score_threshold)
        batch = image.shape[0]
        boxes, *_ = choose(found, found.labels, head.test_cfg, batch)
        return boxes.boxes, boxes.scores, boxes.labels, boxes.counts(batch)
