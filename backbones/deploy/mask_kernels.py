"""Dense detectors that predict mask kernels for each detection: RTMDet-Ins and CondInst."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.deploy.dense_heads import (
    Kind,
    Level,
    activated,
    decode_by_coder,
    flat,
    priors,
)
from backbones.deploy.one_stage import candidates, choose

COORDINATES = 8  # positions relative to an instance are in units of 8 strides


def levels(head: Any, maps: Any) -> list[Level]:
    """Read scores, deltas, perhaps centerness, and kernels; see `dense_levels`."""
    scores, deltas, *factors, kernels = maps
    return [
        Level(
            activated(head, flat(scores[i], head.cls_out_channels)),
            flat(factors[0][i], 1)[..., 0].sigmoid() if factors else None,
            flat(deltas[i], head.bbox_coder.encode_size),
            points,
            extras=flat(kernels[i], kernels[i].shape[1]),
        )
        for i, points in enumerate(priors(head, scores, with_stride=True))
    ]


def decode(head: Any, places: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    return decode_by_coder(head, places[:, :2], deltas, size)


KIND = Kind(levels, decode)


class DynamicMasks(nn.Module):
    """From normalised, padded images to boxes, scores, labels, masks and counts.

    See `OneStage`; masks are probabilities, (N, H, W). Source: arXiv:2003.05664, Sec. 3.
    """

    task = 'instances'
    outputs = ('boxes', 'scores', 'labels', 'masks', 'counts')
    cropped = {'masks': 1}
    mask_frame = 'image'

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.condinst = hasattr(model, 'mask_head') and model.mask_head is not None
        cfg = model.bbox_head.test_cfg
        self.score_threshold = cfg.get('score_thr', 0)
        self.mask_threshold = (
            model.mask_head.test_cfg['mask_thr'] if self.condinst else cfg['mask_thr_binary']
        )

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        head, batch = self.model.bbox_head, image.shape[0]
        features = self.model.extract_feat(image)
        maps = head(features)
        if self.condinst:
            owner, pixels = self.model.mask_head, self.model.mask_head.mask_feature_head(features)
        else:
            owner, (*maps, pixels) = head, maps
        found = candidates(head, KIND, maps, size, self.score_threshold)
        chosen, _, (places, kernels) = choose(found, found.labels, head.test_cfg, batch)
        masks = self._masks(owner, pixels[chosen.image], places, kernels)
        return chosen.boxes, chosen.scores, chosen.labels, masks, chosen.counts(batch)

    def _masks(self, head: Any, pixels: Tensor, places: Tensor, kernels: Tensor) -> Tensor:
        """Compute masks (N, H, W) from pixel features of each detection's image, (N, C, h, w)."""
        height, width = pixels.shape[2:]
        grid = head.prior_generator.single_level_grid_priors(
            (height, width), level_idx=0, device=pixels.device
        )  # (h w, 2)
        relative = (places[:, None, :2] - grid) / (places[:, None, 2:3] * COORDINATES)
        x = torch.cat([relative.transpose(1, 2), pixels.flatten(2)], 1)  # (N, C + 2, h w)
        weights = kernels.split(list(head.weight_nums) + list(head.bias_nums), 1)
        count = len(head.weight_nums)
        for i, (weight, bias) in enumerate(zip(weights[:count], weights[count:])):
            x = weight.unflatten(1, (bias.shape[1], -1)) @ x + bias[..., None]
            x = x.relu() if i < count - 1 else x
        logits = x.unflatten(2, (height, width))  # (N, 1, h, w)
        if not self.condinst:
            stride = head.prior_generator.strides[0][0]
            size = [n * stride for n in (height, width)]
            logits = F.interpolate(logits, size, mode='bilinear', align_corners=False)
            return logits.sigmoid()[:, 0]
        logits = aligned(logits, head.mask_feat_stride // head.mask_out_stride)
        return aligned(logits.sigmoid(), head.mask_out_stride)[:, 0]


def aligned(x: Tensor, factor: int) -> Tensor:
    """Enlarge maps, aligning the corners of cells instead of their centres.

    Source: `aligned_bilinear` of MMDetection.
    """
    height, width = x.shape[2:]
    x = F.pad(x, (0, 1, 0, 1), mode='replicate')
    size = [factor * n + 1 for n in (height, width)]
    x = F.interpolate(x, size, mode='bilinear', align_corners=True)
    x = F.pad(x, (factor // 2, 0, factor // 2, 0), mode='replicate')
    return x[:, :, : factor * height, : factor * width]
