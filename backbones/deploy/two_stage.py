"""Detectors with region proposals: Faster, Mask and Cascade R-CNN, and similar ones."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from backbones.deploy.dense_heads import Kind
from backbones.deploy.one_stage import candidates, choose
from backbones.deploy.select import NOTHING, Boxes, apart, decode

RPN = Kind()


class TwoStage(nn.Module):
    """From normalised, padded images to boxes, scores, labels, perhaps masks, and counts.

    (B, 3, H, W) and `size` (2) -> (N, 4) corners in pixels, (N), (N) class numbers, (N, 28, 28)
    probabilities within each box, (B).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        heads = model.roi_head
        masks = ('masks',) if heads.with_mask else ()
        self.task = 'instances' if masks else 'boxes'
        self.outputs = ('boxes', 'scores', 'labels', *masks, 'counts')
        self.score_threshold = heads.test_cfg['score_thr']
        if masks:
            self.mask_threshold, self.mask_frame = heads.test_cfg['mask_thr_binary'], 'box'

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        batch = image.shape[0]
        heads = self.model.roi_head
        maps = self.model.extract_feat(image)
        found = self._classify(maps, self._proposals(maps, size, batch), size, batch)
        masks = (self._masks(maps, found),) if heads.with_mask else ()
        return found.boxes, found.scores, found.labels, *masks, found.counts(batch)

    def _proposals(self, maps: tuple[Tensor, ...], size: Tensor, batch: int) -> Boxes:
        """Return the boxes of the region proposal network."""
        head = self.model.rpn_head
        found = candidates(head, RPN, head(maps), size, NOTHING)
        return choose(found, found.levels, head.test_cfg, batch)[0]

    def _classify(self, maps: tuple[Tensor, ...], rois: Boxes, size: Tensor, batch: int) -> Boxes:
        """Refine and classify proposals, stage by stage."""
        heads = self.model.roi_head
        stages = list(zip(parts(heads.bbox_head), parts(heads.bbox_roi_extractor)))
        boxes, logits = rois.boxes, []
        for head, extractor in stages[:-1]:
            score, deltas = head(pool(maps, boxes, rois.image, extractor))
            logits.append(score)
            refined = decode(head.bbox_coder, boxes, deltas, size)
            if not head.reg_class_agnostic:
                label = score[:, :-1].argmax(1)[:, None, None]
                refined = refined.gather(1, label.expand(-1, 1, 4))
            boxes = refined[:, 0]
        head, extractor = stages[-1]
        score, deltas = head(pool(maps, boxes, rois.image, extractor))
        logits.append(score)
        scores = (sum(logits) / float(len(logits))).softmax(-1)[:, :-1]
        boxes = decode(head.bbox_coder, boxes, deltas, size)  # (N, 1 or classes, 4)
        cfg = heads.test_cfg
        roi, label = (scores > cfg['score_thr']).nonzero(as_tuple=True)
        boxes = boxes[:, 0][roi] if head.reg_class_agnostic else boxes[roi, label]
        found = Boxes(boxes, scores[roi, label], label, rois.image[roi])
        return found.take(
            apart(
                *(found.boxes, found.scores, found.labels, found.image),
                cfg['nms'],
                batch=batch,
                count=cfg['max_per_img'],
            )
        )

    def _masks(self, maps: tuple[Tensor, ...], found: Boxes) -> Tensor:
        """Return the probabilities within each box, the mean over the stages."""
        heads = self.model.roi_head
        masks = []
        for head, extractor in zip(parts(heads.mask_head), parts(heads.mask_roi_extractor)):
            logits = head(pool(maps, found.boxes, found.image, extractor))
            if logits.shape[1] > 1:
                chosen = found.labels[:, None, None, None].expand(-1, 1, *logits.shape[2:])
                logits = logits.gather(1, chosen)
            masks.append(logits[:, 0].sigmoid())
        return sum(masks) / float(len(masks))


def parts(head: nn.Module) -> list[Any]:
    """Return the heads or extractors of all stages."""
    return list(head) if isinstance(head, nn.ModuleList) else [head]


def pool(maps: tuple[Tensor, ...], boxes: Tensor, image: Tensor, extractor: Any) -> Tensor:
    """Pool each box from the level that suits its size, (N, C, h, w).

    Source: arXiv:1612.03144, Eq. 1.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    scale = sides.prod(1).sqrt() / extractor.finest_scale
    last = extractor.num_inputs - 1
    level = torch.log2(scale + 1e-6).floor().clamp(0, last)
    by_level = [(level == i).nonzero()[:, 0] for i in range(last + 1)]
    rois = torch.cat([image[:, None].to(boxes.dtype), boxes], 1)
    pooled = [
        roi_align(
            x, rois[i], layer.output_size, layer.spatial_scale, layer.sampling_ratio, layer.aligned
        )
        for x, i, layer in zip(maps, by_level, extractor.roi_layers)
    ]
    return torch.cat(pooled)[torch.cat(by_level).argsort()]
