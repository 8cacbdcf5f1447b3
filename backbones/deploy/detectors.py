"""Exportable versions of what follows a detector's heads: decoding boxes and choosing among them.

MMDetection's own decoding cannot be exported: it depends on values at run time, and its code for
exporters needs a package that no longer exists. The results are those of its `predict`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms, roi_align

STRETCH = abs(math.log(16 / 1000))  # maximum logarithm of a box's scaling, as in MMDetection
NOTHING = -1.0  # score of padding in a list of fixed length


def decode(coder: nn.Module, anchors: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    """Shift and scale anchors by a head's output, and clip them to the image.

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
    if not coder.clip_border:
        return boxes
    far = size.to(boxes.dtype).flip(0).repeat(2)  # width, height, width, height
    return torch.minimum(boxes.clamp(min=0), far)


def best_boxes(
    head: nn.Module, maps: tuple[list[Tensor], list[Tensor]], size: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Decode the `count` best anchors of each level.

    Args:
        head: MMDetection's RPN or RetinaNet head, with sigmoid scores.
        maps: the head's scores (1, A C, H, W) and deltas (1, A 4, H, W) of each level.
        size: see `decode`.
        count: number of boxes per level.

    Returns:
        Boxes (N, 4), scores (N), classes (N) and levels (N), with N = levels * count; if a level
        has fewer, the remaining scores are `NOTHING`.
    """
    found = []
    generator = head.prior_generator
    for level, (scores, deltas) in enumerate(zip(*maps)):
        classes = head.cls_out_channels
        base = generator.base_anchors[level].to(deltas)  # (A, 4)
        flat = scores[0].permute(1, 2, 0).flatten().sigmoid()
        last = flat.shape[0] - 1
        best, index = F.pad(flat, (0, count), value=NOTHING).topk(count)
        index = index.clamp(max=last)
        anchor, label = index // classes, index % classes
        cell, kind = anchor // len(base), anchor % len(base)
        steps = zip(reversed(generator.strides[level]), scores.shape[2:])
        axes = [step * torch.arange(n, device=base.device) for step, n in steps]
        y, x = (grid.flatten()[cell] for grid in torch.meshgrid(*axes, indexing='ij'))
        shift = torch.stack([x, y, x, y], dim=1).to(base.dtype)
        deltas = deltas[0].permute(1, 2, 0).flatten(0, 1).reshape(-1, 4)[anchor]
        boxes = decode(head.bbox_coder, base[kind] + shift, deltas, size)[:, 0]
        found.append((boxes, best, label, torch.full_like(label, level)))
    boxes, scores, labels, levels = map(torch.cat, zip(*found))
    return boxes, scores, labels, levels


def large_enough(boxes: Tensor, least: float) -> Tensor:
    """Return which boxes are wider and higher than `least` pixels; all if `least` is negative."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return (sides > least).all(1) if least >= 0 else sides.isfinite().all(1)


def suppress(
    boxes: Tensor, scores: Tensor, groups: Tensor, size: Tensor, *, iou: float, count: int
) -> Tensor:
    """Select the boxes that overlap no better box of their group.

    Args:
        boxes: (N, 4) within the image.
        scores, groups: (N); boxes of different groups do not compete.
        size: see `decode`; boxes are shifted by group so that groups never overlap.
        iou: overlap above which the box with the lower score is dropped.
        count: maximum number of selected boxes.

    Returns:
        Indices, best score first.
    """
    apart = groups.to(boxes.dtype) * (size.max().to(boxes.dtype) + 1)
    return nms(boxes + apart[:, None], scores, iou)[:count]


def count(labels: Tensor) -> Tensor:
    """Return how many detections there are, (1)."""
    return torch.ones_like(labels).sum()[None]


class OneStage(nn.Module):
    """RetinaNet from a normalised, padded image to boxes, scores and labels.

    (1, 3, H, W) and `size` (2) -> (N, 4) corners in pixels, (N), (N) class numbers; best first.
    """

    task = 'boxes'
    outputs = ('boxes', 'scores', 'labels', 'counts')

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.score_threshold = model.bbox_head.test_cfg['score_thr']

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        head = self.model.bbox_head
        cfg = head.test_cfg
        maps = head(self.model.extract_feat(image))
        boxes, scores, labels, _ = best_boxes(head, maps, size, cfg['nms_pre'])
        kept = (scores > cfg['score_thr']) & large_enough(boxes, cfg.get('min_bbox_size', -1))
        boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
        options = dict(iou=cfg['nms']['iou_threshold'], count=cfg['max_per_img'])
        kept = suppress(boxes, scores, labels, size, **options)
        return boxes[kept], scores[kept], labels[kept], count(labels[kept])


class TwoStage(nn.Module):
    """Faster or Mask R-CNN from a normalised, padded image to boxes, scores, labels and masks.

    (1, 3, H, W) and `size` (2) -> (N, 4) corners in pixels, (N), (N) class numbers, best first; for
    a Mask R-CNN also (N, 28, 28) mask probabilities of each box.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        masks = ('masks',) if model.roi_head.with_mask else ()
        self.task = 'instances' if masks else 'boxes'
        self.outputs = ('boxes', 'scores', 'labels', *masks, 'counts')
        self.score_threshold = model.roi_head.test_cfg['score_thr']
        if masks:
            self.mask_threshold, self.mask_frame = model.roi_head.test_cfg['mask_thr_binary'], 'box'

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        heads = self.model.roi_head
        maps = self.model.extract_feat(image)
        rois = by_level(self._proposals(maps, size), heads.bbox_roi_extractor)
        boxes, scores, labels = self._classify(maps, rois, size)
        if not heads.with_mask:
            return boxes, scores, labels, count(labels)
        order, levels = level_order(boxes, heads.mask_roi_extractor)
        logits = heads.mask_head(pool(maps, [boxes[i] for i in levels], heads.mask_roi_extractor))
        back = order.argsort()
        if logits.shape[1] == 1:
            return boxes, scores, labels, logits[:, 0].sigmoid()[back], count(labels)
        chosen = labels[order][:, None, None, None].expand(-1, 1, *logits.shape[2:])
        masks = logits.gather(1, chosen)[:, 0].sigmoid()[back]
        return boxes, scores, labels, masks, count(labels)

    def _proposals(self, maps: tuple[Tensor, ...], size: Tensor) -> Tensor:
        """Return the region proposal network's boxes, (N, 4)."""
        head = self.model.rpn_head
        cfg = head.test_cfg
        boxes, scores, _, levels = best_boxes(head, head(maps), size, cfg['nms_pre'])
        kept = (scores > NOTHING) & large_enough(boxes, cfg.get('min_bbox_size', -1))
        boxes, scores, levels = boxes[kept], scores[kept], levels[kept]
        options = dict(iou=cfg['nms']['iou_threshold'], count=cfg['max_per_img'])
        return boxes[suppress(boxes, scores, levels, size, **options)]

    def _classify(
        self, maps: tuple[Tensor, ...], rois: list[Tensor], size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes, scores and labels from the proposals of each level."""
        heads = self.model.roi_head
        head, cfg = heads.bbox_head, heads.test_cfg
        logits, deltas = head(pool(maps, rois, heads.bbox_roi_extractor))
        scores = logits.softmax(-1)[:, :-1].flatten()
        boxes = decode(head.bbox_coder, torch.cat(rois), deltas, size)  # (N, 1 or classes, 4)
        (pick,) = (scores > cfg['score_thr']).nonzero(as_tuple=True)
        roi, label = pick // head.num_classes, pick % head.num_classes
        boxes = boxes[:, 0][roi] if head.reg_class_agnostic else boxes.flatten(0, 1)[pick]
        scores = scores[pick]
        options = dict(iou=cfg['nms']['iou_threshold'], count=cfg['max_per_img'])
        kept = suppress(boxes, scores, label, size, **options)
        return boxes[kept], scores[kept], label[kept]


def level_order(boxes: Tensor, extractor: nn.Module) -> tuple[Tensor, list[Tensor]]:
    """Return the boxes' indices sorted by the level they are pooled from, and those per level.

    Source: arXiv:1612.03144, Eq. 1.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    scale = sides.prod(1).sqrt() / extractor.finest_scale
    last = extractor.num_inputs - 1
    level = torch.log2(scale + 1e-6).floor().clamp(0, last)
    by_level = [(level == i).nonzero()[:, 0] for i in range(last + 1)]
    return torch.cat(by_level), by_level


def by_level(boxes: Tensor, extractor: nn.Module) -> list[Tensor]:
    """Return the boxes pooled from each level; later steps do not depend on their order."""
    return [boxes[i] for i in level_order(boxes, extractor)[1]]


def pool(maps: tuple[Tensor, ...], rois: list[Tensor], extractor: nn.Module) -> Tensor:
    """Pool each level's boxes, (N, C, h, w), in the order of `rois`."""
    return torch.cat(
        [
            roi_align(
                x,
                F.pad(boxes, (1, 0)),  # all in image 0
                layer.output_size,
                layer.spatial_scale,
                layer.sampling_ratio,
                layer.aligned,
            )
            for x, boxes, layer in zip(maps, rois, extractor.roi_layers)
        ]
    )
