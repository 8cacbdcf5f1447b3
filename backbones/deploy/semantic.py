"""Models of MMSegmentation, from normalised, padded images to logits and labels."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.deploy.deformable_attention import Padding, with_plain_sizes
from backbones.deploy.queries import queries
from backbones.deploy.two_stage import parts


class LabelMaps(nn.Module):
    """(B, 3, H, W) -> logits (B, classes, H, W) and labels (B, H, W)."""

    task = 'semantic'
    outputs = ('logits', 'labels')
    cropped = {'logits': 2, 'labels': 1}

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model


class Segmentor(LabelMaps):
    """An encoder and decoder; with one channel, the label is 1 above a threshold."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        head = parts(model.decode_head)[-1]
        self.single = head.out_channels == 1
        if self.single:
            self.foreground_threshold = head.threshold

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        size = tuple(image.shape[2:])
        about = dict(img_shape=size, pad_shape=size, batch_input_shape=size)
        logits = self.model.encode_decode(image, [about])
        if self.single:
            return logits, (logits[:, 0].sigmoid() > self.foreground_threshold).long()
        return logits, logits.argmax(1)


class SemanticQueries(LabelMaps):
    """MaskFormer or Mask2Former."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        with_plain_sizes(model)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.model.extract_feat(image)
        logits, masks = queries(self.model.decode_head, maps, Padding(None))
        masks = F.interpolate(masks, image.shape[2:], mode='bilinear', align_corners=False)
        scores = logits.softmax(-1)[..., :-1]
        logits = torch.einsum('bqc,bqhw->bchw', scores, masks.sigmoid())
        return logits, logits.argmax(1)
