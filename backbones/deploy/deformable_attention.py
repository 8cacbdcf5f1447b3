"""Deformable attention with sizes as plain numbers, and the parts of MMDetection that feed it.

MMDetection keeps the levels' sizes in a tensor, whose values an exporter does not know.
"""

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Sizes = Sequence[tuple[int, int]]  # height and width of each level, in cells


class DeformableAttention(nn.Module):
    """mmcv's `MultiScaleDeformableAttention` by grid sampling, with the layers of the original.

    Source: arXiv:2010.04159, Eq. 3.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        *,
        reference_points: Tensor,
        spatial_shapes: Sizes,
        **unused: Any,
    ) -> Tensor:
        """Attend to a few points of each level.

        Args:
            query: (B, Q, C), or (Q, B, C) if the layer is not `batch_first`; `identity` and
                `query_pos` likewise.
            value: (B, S, C) or (S, B, C), the cells of all levels in a row; `query` if None.
            key_padding_mask: (B, S), true for cells to ignore.
            reference_points: (B, Q, L, 2) points, or (B, Q, L, 4) centres and sides, from 0 to 1.
            spatial_shapes: sizes of the L levels.
        """
        layer = self.layer
        identity = query if identity is None else identity
        value = query if value is None else value
        query = query if query_pos is None else query + query_pos
        if not layer.batch_first:
            query, value = query.transpose(0, 1), value.transpose(0, 1)
        value = layer.value_proj(value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0.0)
        heads, levels, points = layer.num_heads, layer.num_levels, layer.num_points
        value = value.unflatten(2, (heads, -1))
        shifts = layer.sampling_offsets(query).unflatten(2, (heads, levels, points, 2))
        weights = layer.attention_weights(query).unflatten(2, (heads, levels * points))
        weights = weights.softmax(-1).unflatten(3, (levels, points))
        out: Any = 0
        for i, (part, (height, width)) in enumerate(
            zip(_levels(value, spatial_shapes), spatial_shapes)
        ):
            reference = reference_points[:, :, None, i, None]  # (B, Q, 1, 1, 2 or 4)
            if reference.shape[-1] == 2:
                x = shifts[:, :, :, i, :, 0] / width
                y = shifts[:, :, :, i, :, 1] / height
                place = reference + torch.stack([x, y], -1)
            else:
                place = reference[..., :2] + shifts[:, :, :, i] / points * reference[..., 2:] * 0.5
            grid = (2 * place - 1).transpose(1, 2).flatten(0, 1)  # (B heads, Q, P, 2)
            image = part.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, (height, width))
            sampled = F.grid_sample(image, grid, align_corners=False)  # (B heads, d, Q, P)
            weight = weights[:, :, :, i].transpose(1, 2).flatten(0, 1)[:, None]
            out = out + (sampled * weight).sum(-1)
        out = out.unflatten(0, (-1, heads)).flatten(1, 2).transpose(1, 2)
        out = layer.output_proj(out)
        if not layer.batch_first:
            out = out.transpose(0, 1)
        return layer.dropout(out) + identity


def _levels(value: Tensor, sizes: Sizes) -> tuple[Tensor, ...]:
    """Split the cells of all levels by level."""
    return value.split([height * width for height, width in sizes], 1)


def outside(size: Tensor, shape: Sequence[int]) -> Tensor:
    """Return which pixels of a padded image are padding, (1, H, W)."""
    rows, columns = (torch.arange(n, device=size.device) for n in shape)
    return ((rows >= size[0])[:, None] | (columns >= size[1]))[None]


def shrunk(mask: Tensor, shape: Sequence[int], batch: int) -> Tensor:
    """Sample a mask (1, H, W) at the cells of a map, (batch, h, w)."""
    small = F.interpolate(mask[None].float(), tuple(shape))[0] > 0.5
    return small.expand(batch, -1, -1)


class Padding:
    """Replaces the data samples in MMDetection's transformers.

    Args:
        mask: (1, H, W), which pixels are padding; None if none are.
    """

    def __init__(self, mask: Tensor | None) -> None:
        self.mask = mask


def several_levels(model: Any, maps: Sequence[Tensor], padding: Padding) -> tuple[dict, dict]:
    """Do what `DeformableDETR.pre_transformer` does, with plain sizes."""
    batch = maps[0].shape[0]
    cells, places, masks, ratios, sizes = [], [], [], [], []
    for x, embedding in zip(maps, model.level_embed):
        mask = None
        if padding.mask is not None:
            mask = shrunk(padding.mask, x.shape[2:], batch)
            masks.append(mask.flatten(1))
            ratios.append(model.get_valid_ratio(mask))
        place = model.positional_encoding(mask, input=x)
        cells.append(x.flatten(2).transpose(1, 2))
        places.append(place.flatten(2).transpose(1, 2) + embedding)
        sizes.append((x.shape[2], x.shape[3]))
    ratio = torch.stack(ratios, 1) if ratios else maps[0].new_ones(batch, len(maps), 2)
    mask = torch.cat(masks, 1) if masks else None
    shared = dict(spatial_shapes=sizes, level_start_index=None, valid_ratios=ratio)
    encoder = dict(feat=torch.cat(cells, 1), feat_mask=mask, feat_pos=torch.cat(places, 1))
    return encoder | shared, dict(memory_mask=mask) | shared


def one_level(model: Any, maps: Sequence[Tensor], padding: Padding) -> tuple[dict, dict]:
    """Do what `DETR.pre_transformer` does."""
    x = maps[-1]
    mask = None if padding.mask is None else shrunk(padding.mask, x.shape[2:], x.shape[0])
    place = model.positional_encoding(mask, input=x).flatten(2).transpose(1, 2)
    mask = None if mask is None else mask.flatten(1)
    encoder = dict(feat=x.flatten(2).transpose(1, 2), feat_mask=mask, feat_pos=place)
    return encoder, dict(memory_mask=mask, memory_pos=place)


def decode_pixels(decoder: Any, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Do what `MSDeformAttnPixelDecoder.forward` does, with plain sizes.

    Args:
        decoder: Mask2Former's pixel decoder.
        maps: the backbone's levels, (B, C, h, w), finest first.

    Returns:
        Pixel features at the finest level, and `num_outs` maps, coarsest first.
    """
    batch, count = maps[0].shape[0], decoder.num_encoder_levels
    cells, places, points, sizes = [], [], [], []
    for i in range(count):
        level = decoder.num_input_levels - i - 1
        x = maps[level]
        height, width = x.shape[2:]
        mask = x.new_zeros((batch, height, width), dtype=torch.bool)
        place = decoder.postional_encoding(mask) + decoder.level_encoding.weight[i][:, None, None]
        y, z = ((torch.arange(n, device=x.device) + 0.5) / n for n in (height, width))
        points.append(torch.stack([z.expand(height, -1), y[:, None].expand(-1, width)], -1))
        cells.append(decoder.input_convs[i](x).flatten(2).transpose(1, 2))
        places.append(place.flatten(2).transpose(1, 2))
        sizes.append((height, width))
    reference = torch.cat([p.flatten(0, 1) for p in points])[None, :, None]
    memory = decoder.encoder(
        query=torch.cat(cells, 1),
        query_pos=torch.cat(places, 1),
        key_padding_mask=None,
        spatial_shapes=sizes,
        reference_points=reference.expand(batch, -1, count, -1),
        level_start_index=None,
        valid_ratios=maps[0].new_ones(batch, count, 2),
    )
    outs = [
        part.transpose(1, 2).unflatten(2, size) for part, size in zip(_levels(memory, sizes), sizes)
    ]
    for i in reversed(range(decoder.num_input_levels - count)):
        side = decoder.lateral_convs[i](maps[i])
        up = F.interpolate(outs[-1], side.shape[2:], mode='bilinear', align_corners=False)
        outs.append(decoder.output_convs[i](side + up))
    return decoder.mask_feature(outs[-1]), outs[: decoder.num_outs]


def with_plain_sizes(model: nn.Module) -> None:
    """Replace, in place, the parts that read the sizes of levels from tensors."""
    for name, module in list(model.named_modules()):
        kind = type(module).__name__
        if kind == 'MultiScaleDeformableAttention':
            parent, _, child = name.rpartition('.')
            setattr(model.get_submodule(parent), child, DeformableAttention(module))
        elif kind == 'MSDeformAttnPixelDecoder':
            module.forward = MethodType(decode_pixels, module)
