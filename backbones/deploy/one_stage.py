"""Detectors that predict boxes densely: RetinaNet, ATSS, GFL, FCOS, RTMDet, SSD, YOLO, ..."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.deploy.select import NOTHING, Boxes, apart, best, clip, larger, rows
from backbones.errors import UserError
from backbones.openmmlab.compat import decode_yolox_boxes


class Level(NamedTuple):
    """What a head says about the P places of one level, for B images.

    Args:
        scores: (B, P, C).
        factors: (B, P), by which a score is multiplied after the best were chosen; or None.
        deltas: (B, P, D) to be decoded.
        priors: (P, ...) anchors or points.
        labels: (B, P), if a place has only one class, not the C of `scores`.
        extras: (B, P, E) what else belongs to a place, such as the kernels of its mask.
    """

    scores: Tensor
    factors: Tensor | None
    deltas: Tensor
    priors: Tensor
    labels: Tensor | None = None
    extras: Tensor | None = None


def flat(x: Tensor, channels: int) -> Tensor:
    """Put the places of a map in a row: (B, A channels, H, W) -> (B, H W A, channels)."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, channels)


def priors(head: Any, maps: Any, **options: Any) -> list[Tensor]:
    """Return the anchors or points of each level by the head's own generator."""
    sizes = [x.shape[2:] for x in maps]
    like = maps[0]
    return head.prior_generator.grid_priors(sizes, dtype=like.dtype, device=like.device, **options)


def activated(head: Any, logits: Tensor) -> Tensor:
    """Turn logits (..., C) into scores without the background."""
    return logits.sigmoid() if head.use_sigmoid_cls else logits.softmax(-1)[..., :-1]


def dense_levels(head: Any, maps: Any) -> list[Level]:
    """Read the output of a head that MMDetection's `BaseDenseHead` decodes."""
    scores, deltas, *factors = maps[:3]
    levels = []
    for i, anchors in enumerate(priors(head, scores)):
        factor = flat(factors[0][i], 1)[..., 0].sigmoid() if factors and factors[0] else None
        logits = flat(scores[i], head.cls_out_channels)
        offsets = flat(deltas[i], head.bbox_coder.encode_size)
        levels.append(Level(activated(head, logits), factor, offsets, anchors))
    return levels


def gfl_levels(head: Any, maps: Any) -> list[Level]:
    """Read the output of GFLHead, which predicts a distribution for each side of a box."""
    levels = []
    for i, level in enumerate(dense_levels_of_distances(head, *maps)):
        stride = head.prior_generator.strides[i][0]
        shares = level.deltas.unflatten(-1, (4, head.reg_max + 1)).softmax(-1)
        sides = (shares * (head.integral.project * stride)).sum(-1)  # OpenVINO fails at a product
        levels.append(level._replace(deltas=sides, priors=head.anchor_center(level.priors)))
    return levels


def dense_levels_of_distances(head: Any, scores: Any, deltas: Any) -> list[Level]:
    """Read scores, and distributions over distances that are not decoded yet."""
    return [
        Level(
            flat(score, head.cls_out_channels).sigmoid(),
            None,
            flat(delta, 4 * (head.reg_max + 1)),
            anchors,
        )
        for score, delta, anchors in zip(scores, deltas, priors(head, scores))
    ]


def yolox_levels(head: Any, maps: Any) -> list[Level]:
    """Read the output of YOLOXHead: a place has one class, and a score of being an object."""
    found = []
    points = priors(head, maps[0], with_stride=True)
    for score, delta, objectness, point in zip(*maps, points):
        score, label = flat(score, head.cls_out_channels).sigmoid().max(-1, keepdim=True)
        score = score * flat(objectness, 1).sigmoid()
        found.append(Level(score, None, flat(delta, 4), point, label[..., 0]))
    return found


def yolo_levels(head: Any, maps: Any) -> list[Level]:
    """Read the output of YOLOV3Head, whose levels compete for `nms_pre`."""
    sizes = [x.shape[2:] for x in maps[0]]
    anchors = head.prior_generator.grid_priors(sizes, device=maps[0][0].device)
    parts = [flat(x, head.num_attrib) for x in maps[0]]
    strides = [
        x.new_full((x.shape[1], 1), stride) for x, stride in zip(parts, head.featmap_strides)
    ]
    x = torch.cat(parts, 1)
    objectness, scores = x[..., 4].sigmoid(), x[..., 5:].sigmoid()
    least = head.test_cfg.get('conf_thr', -1)
    if least > 0:
        scores = scores.where((objectness >= least)[..., None], NOTHING)
    deltas = torch.cat([x[..., :2].sigmoid(), x[..., 2:4]], -1)
    places = torch.cat([torch.cat(anchors), torch.cat(strides)], -1)
    return [Level(scores, objectness, deltas, places)]


def decode_by_coder(head: Any, places: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    """Decode by MMDetection's coder, and clip: (N, ...) and (N, D) -> (N, 4)."""
    boxes = head.bbox_coder.decode(places, deltas)
    return clip(boxes, size) if getattr(head.bbox_coder, 'clip_border', True) else boxes


def decode_yolox(head: Any, places: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    return decode_yolox_boxes(head, places, deltas)


def decode_yolo(head: Any, places: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    return head.bbox_coder.decode(places[:, :4], deltas, places[:, 4:])


class Kind(NamedTuple):
    """How a head is read."""

    levels: Callable[[Any, Any], list[Level]] = dense_levels
    decode: Callable[[Any, Tensor, Tensor, Tensor], Tensor] = decode_by_coder


# heads that decode in their own way; others must decode as `BaseDenseHead` does
OWN = {
    'GFLHead': Kind(gfl_levels),
    'LDHead': Kind(gfl_levels),
    'YOLOXHead': Kind(yolox_levels, decode_yolox),
    'YOLOV3Head': Kind(yolo_levels, decode_yolo),
}


def kind_of(head: Any) -> Kind:
    """Return how a head is read.

    Raises:
        UserError: it decodes in a way of its own that is not known here.
    """
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

    cls = type(head)
    if cls.__name__ in OWN:
        return OWN[cls.__name__]
    for name in ('predict', 'predict_by_feat', '_predict_by_feat_single', '_bbox_post_process'):
        if getattr(cls, name, None) is not getattr(BaseDenseHead, name):
            raise UserError(f'{cls.__name__} cannot be exported: it has its own {name}')
    if getattr(head.loss_cls, 'custom_cls_channels', False):
        raise UserError(f'{cls.__name__} with {type(head.loss_cls).__name__} cannot be exported')
    return Kind()


class Candidates(NamedTuple):
    """Decoded pairs of place and class of B images, N each.

    Args:
        boxes: (B, N, 4) corners.
        scores, labels, levels: (B, N).
        valid: (B, N) whether the score of the class is above the threshold.
        extras: of each (B, N, ...): its prior and, if the head has any, what else belongs to it.
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
        kind: how it is read.
        maps: its output.
        size: (2) height and width of the images without padding, in pixels.
        least: minimum score of the class.
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
