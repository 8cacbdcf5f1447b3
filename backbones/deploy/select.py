"""Selecting a detector's boxes, for several images at once, in a form that can be exported.

MMDetection selects image by image, in loops and branches that depend on values, which an exporter
cannot follow. The results equal those of its `predict`.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import nms

STRETCH = abs(math.log(16 / 1000))  # maximum logarithm of a box's scaling, as in MMDetection
NOTHING = -1.0  # score of padding in a list of fixed length
INF = float('inf')
NO_LIMIT = 2**31 - 1  # boxes per image
SUPPRESS = 'dense_backbones::suppress'


class Boxes(NamedTuple):
    """The boxes of all images of a batch, one after another.

    Args:
        boxes: (N, 4) corners x1, y1, x2, y2, in pixels.
        scores, labels: (N).
        image: (N) number of the image in the batch.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    image: Tensor

    def take(self, kept: Tensor) -> 'Boxes':
        """Select some of the boxes, by a mask or by indices."""
        return Boxes(*(part[kept] for part in self))

    def counts(self, batch: int) -> Tensor:
        """Return the number of boxes of each of `batch` images, (batch)."""
        numbers = torch.arange(batch, device=self.image.device)
        return (self.image == numbers[:, None]).sum(1)


def decode(coder: Any, anchors: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    """Shift and scale boxes by a head's output, and clip them to the image.

    `coder.decode` branches on the number of boxes, which varies here.

    Args:
        coder: MMDetection's `DeltaXYWHBBoxCoder`.
        anchors: (N, 4) corners x1, y1, x2, y2, in pixels.
        deltas: (N, 4 k), k boxes per anchor.
        size: (2) height and width of the image without padding, in pixels.

    Returns:
        (N, k, 4) corners.

    Source: arXiv:1311.2524, appendix C; `delta2bbox` of MMDetection.
    """
    means, stds = (deltas.new_tensor(values) for values in (coder.means, coder.stds))
    deltas = deltas.unflatten(1, (-1, 4)) * stds + means
    low, high = anchors[:, None].split(2, dim=-1)
    sides = high - low
    centre = (low + high) * 0.5 + sides * deltas[..., :2]
    half = sides * deltas[..., 2:].clamp(-STRETCH, STRETCH).exp() * 0.5
    boxes = torch.cat([centre - half, centre + half], dim=-1)
    return clip(boxes, size) if coder.clip_border else boxes


def clip(boxes: Tensor, size: Tensor) -> Tensor:
    """Clip corners, (..., 4), to an image of `size`, (2) height and width in pixels."""
    far = size.to(boxes.dtype).flip(0).repeat(2)  # width, height, width, height
    return torch.minimum(boxes.clamp(min=0), far)


def best(scores: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Find the `count` best pairs of a place and a class in each image.

    Args:
        scores: (B, P, C).
        count: number of pairs; all if it is not positive.

    Returns:
        Scores, places and classes, (B, count); where an image has fewer pairs, the remaining
        scores are `NOTHING`.
    """
    classes = scores.shape[2]
    flat = scores.flatten(1)
    if count <= 0:
        index = torch.arange(flat.shape[1], device=flat.device).expand_as(flat)
        return flat, index // classes, index % classes
    last = flat.shape[1] - 1
    found, index = F.pad(flat, (0, count), value=NOTHING).topk(count)
    index = index.clamp(max=last)
    return found, index // classes, index % classes


def rows(values: Tensor, index: Tensor) -> Tensor:
    """Pick rows of each image: (B, P, D) and (B, K) -> (B, K, D)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))


def larger(boxes: Tensor, least: float) -> Tensor:
    """Return which boxes, (..., 4), are wider and higher than `least` pixels."""
    return (boxes[..., 2:] - boxes[..., :2] > least).all(-1)


def apart(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    image: Tensor,
    cfg: Any,
    *,
    batch: int,
    count: int,
) -> Tensor:
    """Select the boxes that overlap no better box of their group and image.

    Args:
        boxes: (N, 4) corners.
        scores, groups, image: (N).
        cfg: a config's `nms`, of type 'nms'.
        batch: number of images.
        count: maximum number of boxes per image; no limit if it is not positive.

    Returns:
        Indices, image by image, best score first.

    Source: `batched_nms` of mmcv, which shifts the boxes of each group out of the others' way.
    """
    if not cfg.get('class_agnostic', False):
        far = F.pad(boxes.flatten(), (0, 1)).max() + 1
        boxes = boxes + (groups.to(boxes.dtype) * far)[:, None]
    limit = count if count > 0 else NO_LIMIT
    return suppress(boxes, scores, image, batch, cfg['iou_threshold'], limit)


@torch.library.custom_op(SUPPRESS, mutates_args=())
def suppress(
    boxes: Tensor, scores: Tensor, image: Tensor, batch: int, iou: float, count: int
) -> Tensor:
    """Select the boxes that overlap no better box of the same image.

    ONNX has an operator for that, see `onnx_file`; elsewhere it is `suppress_in_pytorch`.

    Args:
        boxes: (N, 4) corners.
        scores, image: (N).
        batch: number of images.
        iou: overlap above which the box with the lower score is dropped.
        count: maximum number of selected boxes per image.

    Returns:
        Indices, image by image, best score first.
    """
    return suppress_in_pytorch(boxes, scores, image, batch, iou, count)


@suppress.register_fake
def _(boxes: Tensor, scores: Tensor, image: Tensor, batch: int, iou: float, count: int) -> Tensor:
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.long)


def suppress_in_pytorch(
    boxes: Tensor, scores: Tensor, image: Tensor, batch: int, iou: float, count: int
) -> Tensor:
    """Compute `suppress` with torchvision by shifting the images apart, in float64 to be exact."""
    # two boxes of their own images, because torchvision promises exporters that two are kept
    boxes, scores = F.pad(boxes.double(), (0, 0, 0, 2)), F.pad(scores.double(), (0, 2), value=-INF)
    number = torch.cat([image, torch.arange(batch, batch + 2, device=image.device)])
    span = boxes.max() - boxes.min() + 1
    kept = nms(boxes + (number * span)[:, None], scores, iou)[:-2]
    kept = kept[image[kept].argsort(stable=True)]
    image = image[kept]
    numbers = torch.arange(batch, device=image.device)
    before = (image < numbers[:, None]).sum(1)  # boxes of earlier images
    rank = torch.ones_like(kept).cumsum(0) - 1 - before[image]  # a range would need their number
    return kept[rank < count]
