"""Reading the outputs of dense heads: scores and deltas for each place, and decoding boxes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backbones.deploy.select import NOTHING, clip
from backbones.errors import UserError
from backbones.openmmlab.compat import decode_yolox_boxes


class Level(NamedTuple):
    """A head's output for the P places of one level, for B images.

    Args:
        scores: (B, P, C).
        factors: (B, P), multiplied with the scores after the best were chosen; or None.
        deltas: (B, P, D) to be decoded.
        priors: (P, ...) anchors or points.
        labels: (B, P), if a place has a single class instead of the C of `scores`.
        extras: (B, P, E) further values of a place, such as the kernels of its mask.
    """

    scores: Tensor
    factors: Tensor | None
    deltas: Tensor
    priors: Tensor
    labels: Tensor | None = None
    extras: Tensor | None = None


def flat(x: Tensor, channels: int) -> Tensor:
    """Flatten the places of a map: (B, A channels, H, W) -> (B, H W A, channels)."""
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
    for i, level in enumerate(plain_levels(head, maps, 4 * (head.reg_max + 1))):
        stride = head.prior_generator.strides[i][0]
        shares = level.deltas.unflatten(-1, (4, head.reg_max + 1)).softmax(-1)
        sides = (shares * (head.integral.project * stride)).sum(-1)  # OpenVINO fails at a product
        levels.append(level._replace(deltas=sides, priors=head.anchor_center(level.priors)))
    return levels


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


def tood_levels(head: Any, maps: Any) -> list[Level]:
    """Read the output of TOODHead: scores, and already decoded boxes in units of the stride."""
    return [
        Level(
            flat(score, head.cls_out_channels),
            None,
            flat(boxes, 4) * stride[0],
            anchors,
        )
        for score, boxes, anchors, stride in zip(
            *maps, priors(head, maps[0]), head.prior_generator.strides
        )
    ]


def fovea_levels(head: Any, maps: Any) -> list[Level]:
    """Read the output of FoveaHead: logarithms of distances, in a unit length of each level."""
    return [
        level._replace(deltas=level.deltas.exp() * length)
        for level, length in zip(plain_levels(head, maps), head.base_edge_list)
    ]


def reppoints_levels(head: Any, maps: Any) -> list[Level]:
    """Read the output of RepPointsHead: corners relative to a point, in units of the stride."""
    return [
        level._replace(deltas=level.deltas * stride)
        for level, stride in zip(plain_levels(head, maps), head.point_strides)
    ]


def plain_levels(head: Any, maps: Any, numbers: int = 4) -> list[Level]:
    """Read scores, and numbers that are not decoded yet, for each place."""
    scores, deltas = maps
    return [
        Level(
            activated(head, flat(score, head.cls_out_channels)), None, flat(delta, numbers), points
        )
        for score, delta, points in zip(scores, deltas, priors(head, scores))
    ]


def decode_by_coder(head: Any, places: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    """Decode by MMDetection's coder, and clip: (N, ...) and (N, D) -> (N, 4)."""
    boxes = head.bbox_coder.decode(places, deltas)
    return clip(boxes, size) if getattr(head.bbox_coder, 'clip_border', True) else boxes


def decode_yolox(head: Any, places: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    return decode_yolox_boxes(head, places, deltas)


def decode_yolo(head: Any, places: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    return head.bbox_coder.decode(places[:, :4], deltas, places[:, 4:])


def decoded(head: Any, places: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    return deltas


def decode_fovea(head: Any, places: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    low, high = deltas.split(2, -1)
    return clip(torch.cat([places - low, places + high], -1), size - 1)


def decode_reppoints(head: Any, places: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    return clip(places[:, :2].repeat(1, 2) + deltas, size)


class Kind(NamedTuple):
    """How to read a head's output."""

    levels: Callable[[Any, Any], list[Level]] = dense_levels
    decode: Callable[[Any, Tensor, Tensor, Tensor], Tensor] = decode_by_coder


# heads that decode in their own way; others must decode as `BaseDenseHead` does
OWN = {
    'GFLHead': Kind(gfl_levels),
    'LDHead': Kind(gfl_levels),
    'YOLOXHead': Kind(yolox_levels, decode_yolox),
    'YOLOV3Head': Kind(yolo_levels, decode_yolo),
    'TOODHead': Kind(tood_levels, decoded),
    'FoveaHead': Kind(fovea_levels, decode_fovea),
    'RepPointsHead': Kind(reppoints_levels, decode_reppoints),
}


def kind_of(head: Any) -> Kind:
    """Return how to read a head's output.

    Raises:
        UserError: the head decodes in a way that is not known here.
    """
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

    cls = type(head)
    if cls.__name__ in OWN:
        return OWN[cls.__name__]
    for name in ('predict', 'predict_by_feat', '_predict_by_feat_single', '_bbox_post_process'):
        if getattr(cls, name, None) is not getattr(BaseDenseHead, name):
            raise UserError(f'{cls.__name__} cannot be exported: it has its own {name}')
    loss = getattr(head, 'loss_cls', None)  # SSD's head has none
    if getattr(loss, 'custom_cls_channels', False):
        raise UserError(f'{cls.__name__} with {type(loss).__name__} cannot be exported')
    return Kind()
