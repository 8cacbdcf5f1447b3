"""Models with queries: DETR, Deformable DETR, DINO, MaskFormer, Mask2Former."""

from types import MethodType
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.deploy.deformable_attention import (
    Padding,
    one_level,
    outside,
    several_levels,
    shrunk,
    with_plain_sizes,
)
from backbones.deploy.select import Boxes
from backbones.drawing.panoptic import OFFSET

TRANSFORMERS = {
    'DETR': one_level,
    'ConditionalDETR': one_level,
    'DABDETR': one_level,
    'DeformableDETR': several_levels,
    'DINO': several_levels,
}


def _padding(size: Tensor, image: Tensor, padded: bool) -> Padding:
    return Padding(outside(size, image.shape[2:]) if padded else None)


class BoxQueries(nn.Module):
    """A DETR from normalised, padded images to boxes, scores, labels and counts.

    See `OneStage`; there is no threshold, so all images have the same number of boxes.

    Args:
        model: one of `TRANSFORMERS`.
        padded: whether images may be padded.
    """

    task = 'boxes'
    outputs = ('boxes', 'scores', 'labels', 'counts')
    score_threshold = 0.0

    def __init__(self, model: Any, *, padded: bool) -> None:
        super().__init__()
        self.model, self.padded = model, padded
        with_plain_sizes(model)
        model.pre_transformer = MethodType(TRANSFORMERS[type(model).__name__], model)
        if type(model).__name__ == 'DINO':
            model.forward_decoder = MethodType(_decode_dino, model)

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        model, head = self.model, self.model.bbox_head
        padding = _padding(size, image, self.padded)
        maps = model.extract_feat(image)
        with patch.object(torch, 'linspace', _count):
            found = model.forward_transformer(maps, padding)
        logits, boxes = (x[-1] for x in head(**found))  # the last layer's: (B, Q, C), (B, Q, 4)
        count = head.test_cfg.get('max_per_img', logits.shape[1])
        if head.loss_cls.use_sigmoid:
            scores, index = logits.sigmoid().flatten(1).topk(count)
            labels, index = index % head.num_classes, index // head.num_classes
        else:
            best, labels = logits.softmax(-1)[..., :-1].max(-1)
            scores, index = best.topk(count)
            labels = labels.gather(1, index)
        centre, sides = boxes.gather(1, index[..., None].expand(-1, -1, 4)).split(2, -1)
        far = size.to(boxes.dtype).flip(0).repeat(2)  # width, height, width, height
        corners = torch.cat([centre - sides / 2, centre + sides / 2], -1) * far
        corners = torch.minimum(corners.clamp(min=0), far)
        parts = (x.flatten(0, 1) for x in (corners, scores, labels))
        return *parts, (scores >= 0).sum(1)  # counts all; a file's output cannot be a constant


def _count(start: float, end: float, steps: int, **options: Any) -> Tensor:
    """Compute `torch.linspace` as these models call it: in steps of 1, even for a single cell.

    ONNX's version divides by `steps` - 1.
    """
    return torch.arange(steps, **options) + start


def _decode_dino(
    model: Any, query: Tensor, memory: Tensor, memory_mask: Tensor | None, **places: Any
) -> dict:
    """Do what `DINO.forward_decoder` does, without its branch on the number of images."""
    places['self_attn_mask'] = places.pop('dn_mask', None)
    states, references = model.decoder(
        query=query,
        value=memory,
        key_padding_mask=memory_mask,
        reg_branches=model.bbox_head.reg_branches,
        **places,
    )
    return dict(hidden_states=states, references=list(references))


def mask_outputs(head: Any, maps: Any, padding: Padding) -> tuple[Tensor, Tensor]:
    """Run MMDetection's MaskFormerHead: class logits (B, Q, C + 1), mask logits (B, Q, h, w).

    The head's `forward` writes the padding image by image.
    """
    x = maps[-1]
    mask = padding.mask
    if mask is None:
        ignored = x.new_zeros((x.shape[0], *x.shape[2:]), dtype=torch.bool)
    else:
        ignored = shrunk(mask, x.shape[2:], x.shape[0])
    pixels, memory = _decode_pixels(head.pixel_decoder, maps, ignored)
    place = head.decoder_pe(ignored).flatten(2).transpose(1, 2)
    memory = head.decoder_input_proj(memory).flatten(2).transpose(1, 2)
    query = head.query_embed.weight[None].expand(x.shape[0], -1, -1)
    found = head.transformer_decoder(
        query=torch.zeros_like(query),
        key=memory,
        value=memory,
        query_pos=query,
        key_pos=place,
        key_padding_mask=ignored.flatten(1),
    )[-1]
    return head.cls_embed(found), torch.einsum('bqc,bchw->bqhw', head.mask_embed(found), pixels)


def _decode_pixels(decoder: Any, maps: Any, ignored: Tensor) -> tuple[Tensor, Tensor]:
    """Run MaskFormer's pixel decoder, with or without a transformer in it."""
    memory = maps[-1]
    if not hasattr(decoder, 'encoder'):
        return decoder(maps, None)
    x = decoder.encoder_in_proj(memory)
    memory = decoder.encoder(
        query=x.flatten(2).transpose(1, 2),
        query_pos=decoder.positional_encoding(ignored).flatten(2).transpose(1, 2),
        key_padding_mask=ignored.flatten(1),
    )
    memory = memory.transpose(1, 2).unflatten(2, x.shape[2:])
    y = decoder.encoder_out_proj(memory)
    for i in reversed(range(decoder.num_inputs - 1)):
        side = decoder.lateral_convs[i](maps[i])
        y = decoder.output_convs[i](side + F.interpolate(y, side.shape[2:], mode='nearest'))
    return decoder.mask_feature(y), memory


def queries(head: Any, maps: Any, padding: Padding) -> tuple[Tensor, Tensor]:
    """Run a head of MaskFormer or Mask2Former; see `mask_outputs`."""
    if hasattr(head, 'decoder_pe'):
        return mask_outputs(head, maps, padding)
    logits, masks = head(maps, None)
    return logits[-1], masks[-1]


class MaskQueries(nn.Module):
    """MaskFormer or Mask2Former of MMDetection, for instances or panoptic maps.

    Args:
        model: the detector.
        padded: whether images may be padded.
    """

    def __init__(self, model: Any, *, padded: bool) -> None:
        super().__init__()
        self.model, self.padded = model, padded
        with_plain_sizes(model)
        cfg = model.panoptic_fusion_head.test_cfg
        self.panoptic, self.instances = cfg.get('panoptic_on', True), cfg.get('instance_on', False)
        self.task = 'panoptic' if self.panoptic else 'instances'
        found = ('boxes', 'scores', 'labels', 'masks', 'counts') if self.instances else ()
        self.outputs = (*found, *(('panoptic',) if self.panoptic else ()))
        self.cropped = {
            name: axis for name, axis in (('masks', 1), ('panoptic', 1)) if name in self.outputs
        }
        if self.instances:
            self.score_threshold, self.mask_threshold, self.mask_frame = 0.0, 0.5, 'image'

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        padding = _padding(size, image, self.padded)
        head = self.model.panoptic_head
        logits, masks = queries(head, self.model.extract_feat(image), padding)
        masks = F.interpolate(masks, image.shape[2:], mode='bilinear', align_corners=False)
        inside = None if padding.mask is None else ~padding.mask
        found = self._instances(logits, masks, inside) if self.instances else ()
        return *found, *((self._panoptic(logits, masks, inside),) if self.panoptic else ())

    def _instances(
        self, logits: Tensor, masks: Tensor, inside: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Do what `MaskFormerFusionHead.instance_postprocess` does."""
        fusion = self.model.panoptic_fusion_head
        count = fusion.test_cfg.get('max_per_image', 100)
        scores, index = logits.softmax(-1)[..., :-1].flatten(1).topk(count)
        labels, index = index % fusion.num_classes, index // fusion.num_classes
        image, place = (labels < fusion.num_things_classes).nonzero(as_tuple=True)
        labels, scores = labels[image, place], scores[image, place]
        masks = masks[image, index[image, place]]  # (N, H, W)
        binary = masks > 0
        if inside is not None:
            binary = binary & inside
        probability = masks.sigmoid()
        area = binary.flatten(1).sum(1)
        scores = scores * (probability * binary).flatten(1).sum(1) / (area + 1e-6)
        found = Boxes(boxes_of(binary), scores, labels, image)
        return *found[:3], probability, found.counts(logits.shape[0])

    def _panoptic(self, logits: Tensor, masks: Tensor, inside: Tensor | None) -> Tensor:
        """Do what `MaskFormerFusionHead.panoptic_postprocess` does, for all queries at once."""
        fusion = self.model.panoptic_fusion_head
        cfg, classes = fusion.test_cfg, fusion.num_classes
        scores, labels = logits.softmax(-1).max(-1)  # (B, Q)
        kept = (labels != classes) & (scores > cfg.get('object_mask_thr', 0.8))
        masks = masks.sigmoid()
        weighted = (scores[..., None, None] * masks).masked_fill(~kept[..., None, None], -1.0)
        owner = weighted.argmax(1)  # (B, H, W)
        numbers = torch.arange(logits.shape[1], device=logits.device)[:, None, None]
        own = (owner[:, None] == numbers) & kept[..., None, None]
        whole = masks >= 0.5
        if inside is not None:
            own, whole = own & inside, whole & inside
        area, original = (x.flatten(2).sum(2) for x in (own, whole))
        valid = (area > 0) & (original > 0) & (area / original >= cfg.get('iou_thr', 0.8))
        things = valid & (labels < fusion.num_things_classes)
        segment = torch.where(valid, labels + things * things.cumsum(1) * OFFSET, classes)
        found = segment.gather(1, owner.flatten(1))
        if cfg.get('filter_low_score', False):
            certain = whole.flatten(2).gather(1, owner.flatten(1)[:, None])[:, 0]
            found = torch.where(certain, found, classes)
        return found.unflatten(1, owner.shape[1:])


def boxes_of(masks: Tensor) -> Tensor:
    """Return the box around each mask, (N, H, W) -> (N, 4); zeros for an empty one.

    Source: `mask2bbox` of MMDetection.
    """
    sides = []
    for axis in (1, 2):  # over rows: the columns, x; over columns: the rows, y
        hit = masks.any(axis)
        place = torch.arange(hit.shape[1], device=masks.device)
        first = torch.where(hit, place, hit.shape[1]).amin(1)
        last = torch.where(hit, place + 1, 0).amax(1)
        sides.append((torch.where(last > 0, first, 0), last))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], 1).float()
