"""Decide which models can be exported, and wrap them for it."""

import copy
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from backbones.deploy.detectors import OneStage, TwoStage
from backbones.deploy.resizing import hold_for_every_size
from backbones.errors import UserError

ALLOWED = (
    'a backbone, an EncoderDecoder (UperNet, Semantic FPN, ...), a RetinaNet, a Faster R-CNN or a '
    'Mask R-CNN'
)


class Levels(nn.Module):
    """A backbone: normalised images (1, 3, H, W) -> its levels."""

    task = 'features'

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.outputs = tuple(f'level{i}' for i in model.out_indices)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.model(image)


class Segmentor(nn.Module):
    """An encoder-decoder: normalised images (1, 3, H, W) -> logits (1, classes, H, W)."""

    task = 'semantic'
    outputs = ('logits', 'labels')  # of the file, which removes the padding and picks the best

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        logits = self.model.decode_head(self.model.extract_feat(image))
        return F.interpolate(
            logits, image.shape[2:], mode='bilinear', align_corners=self.model.align_corners
        )


def exportable(model: Any) -> nn.Module:
    """Wrap a copy of a backbone, segmentor or detector so that it can be exported.

    Raises:
        UserError: the model cannot be exported; says why.
    """
    model = copy.deepcopy(model).eval()
    kind = type(model).__name__
    hold_for_every_size(model)
    if hasattr(model, 'out_indices'):
        return Levels(model)
    if kind == 'EncoderDecoder':
        if model.decode_head.out_channels == 1:
            raise UserError('a head with one output channel cannot be exported: it has a threshold')
        return Segmentor(model)
    if kind == 'RetinaNet':
        _check_anchors(model.bbox_head, 'RetinaHead')
        return OneStage(model)
    if kind in ('FasterRCNN', 'MaskRCNN'):
        _check_anchors(model.rpn_head, 'RPNHead')
        _check_rois(model.roi_head)
        return TwoStage(model)
    raise UserError(f'{kind} cannot be exported; allowed: {ALLOWED}')


def _check_anchors(head: Any, kind: str) -> None:
    _check('head', head, (kind,))
    _check_coder(head.bbox_coder)
    _check('anchor_generator', head.prior_generator, ('AnchorGenerator',))
    _check_nms(head.test_cfg)
    if not head.use_sigmoid_cls:
        raise UserError(f'{kind} with softmax scores cannot be exported; allowed: use_sigmoid=True')


def _check_rois(heads: Any) -> None:
    _check('roi_head', heads, ('StandardRoIHead',))
    _check_coder(heads.bbox_head.bbox_coder)
    _check_nms(heads.test_cfg)
    kinds = ('bbox', 'mask') if heads.with_mask else ('bbox',)
    for kind in kinds:
        extractor = getattr(heads, f'{kind}_roi_extractor')
        _check('roi_extractor', extractor, ('SingleRoIExtractor',))
        _check('roi_layer', extractor.roi_layers[0], ('RoIAlign',))
    if heads.with_mask:
        _check('mask_head', heads.mask_head, ('FCNMaskHead',))
    if heads.bbox_head.loss_cls.__class__.__name__ != 'CrossEntropyLoss':
        raise UserError('a box head whose scores are not a softmax cannot be exported')


def _check_coder(coder: Any) -> None:
    _check('bbox_coder', coder, ('DeltaXYWHBBoxCoder',))
    if coder.add_ctr_clamp:
        raise UserError('a bbox_coder with add_ctr_clamp=True cannot be exported')


def _check_nms(cfg: Any) -> None:
    kind = cfg['nms'].get('type', 'nms')
    if kind != 'nms':
        raise UserError(f"test_cfg has nms of type {kind!r}; only type 'nms' can be exported")


def _check(role: str, part: object, allowed: tuple[str, ...]) -> None:
    if type(part).__name__ not in allowed:
        raise UserError(
            f'{role} is a {type(part).__name__}; only {", ".join(allowed)} can be exported'
        )
