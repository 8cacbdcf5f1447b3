"""Deciding which models can be exported, and wrapping them."""

import copy
from typing import Any

from torch import Tensor, nn

from backbones.deploy.mask_kernels import DynamicMasks
from backbones.deploy.one_stage import OneStage
from backbones.deploy.queries import TRANSFORMERS, BoxQueries, MaskQueries
from backbones.deploy.resizing import hold_for_every_size
from backbones.deploy.semantic import Segmentor, SemanticQueries
from backbones.deploy.two_stage import TwoStage, parts
from backbones.errors import UserError

ALLOWED = (
    'a backbone, a segmentor of MMSegmentation, and of MMDetection a dense detector (RetinaNet, '
    'ATSS, FCOS, ...), Faster, Mask or Cascade R-CNN, a DETR, MaskFormer or Mask2Former'
)
NMS = {'type', 'iou_threshold', 'class_agnostic', 'split_thr', 'max_num'}
RTMDET = ('RTMDetInsHead', 'RTMDetInsSepBNHead')
REFUSED = {
    'PointHead': 'it refines points chosen at run time',
    'LightHamHead': 'it begins with random numbers at each prediction',
}
ROIS = ('StandardRoIHead', 'CascadeRoIHead', 'DynamicRoIHead', 'PISARoIHead')


class Levels(nn.Module):
    """A backbone: normalised images (B, 3, H, W) -> its levels."""

    task = 'features'

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.outputs = tuple(f'level{i}' for i in model.out_indices)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.model(image)


def exportable(model: Any, *, padded: bool = True) -> Any:
    """Wrap a copy of a backbone, segmentor or detector so that it can be exported.

    Args:
        model: a model of this package, MMDetection or MMSegmentation.
        padded: whether its images may be padded at the right and the bottom.

    Returns:
        A module that takes normalised, padded images and, for detectors, `size`: (2) height and
        width before padding. Its attributes are `task`, `outputs`, and `cropped`: the first axis of
        an output that has the padded size.

    Raises:
        UserError: the model cannot be exported; says why.
    """
    model = copy.deepcopy(model)
    model.eval()  # not chained, since some models return None
    kind = type(model).__name__
    hold_for_every_size(model)
    if hasattr(model, 'out_indices'):
        return Levels(model)
    if kind in ('EncoderDecoder', 'CascadeEncoderDecoder'):
        last = type(parts(model.decode_head)[-1]).__name__
        if last in ('MaskFormerHead', 'Mask2FormerHead'):
            return SemanticQueries(model)
        if last in REFUSED:
            raise UserError(f'{last} cannot be exported: {REFUSED[last]}')
        return Segmentor(model)
    if kind in TRANSFORMERS:
        return BoxQueries(model, padded=padded)
    if kind in ('MaskFormer', 'Mask2Former'):
        return MaskQueries(model, padded=padded)
    if kind in ('FasterRCNN', 'MaskRCNN', 'CascadeRCNN'):
        _check_proposals(model)
        _check_rois(model.roi_head)
        return TwoStage(model)
    if (
        kind in ('CondInst', 'BoxInst')
        or type(getattr(model, 'bbox_head', None)).__name__ in RTMDET
    ):
        _check_nms(model.bbox_head.test_cfg)
        return DynamicMasks(model)
    if hasattr(model, 'bbox_head') and not hasattr(model, 'mask_head'):
        wrapped = OneStage(model)
        _check_nms(model.bbox_head.test_cfg)
        return wrapped
    raise UserError(f'{kind} cannot be exported; allowed: {ALLOWED}')


def _check_proposals(model: Any) -> None:
    _check('rpn_head', model.rpn_head, ('RPNHead',))
    _check_nms(model.rpn_head.test_cfg)


def _check_rois(heads: Any) -> None:
    _check('roi_head', heads, ROIS)
    if heads.with_shared_head:
        raise UserError('a roi_head with a shared_head cannot be exported')
    _check_nms(heads.test_cfg)
    for head in parts(heads.bbox_head):
        _check('bbox_coder', head.bbox_coder, ('DeltaXYWHBBoxCoder',))
        if head.bbox_coder.add_ctr_clamp:
            raise UserError('a bbox_coder with add_ctr_clamp=True cannot be exported')
        if getattr(head, 'custom_activation', False):
            raise UserError(f'{type(head.loss_cls).__name__} of the box head cannot be exported')
    for kind in ('bbox', 'mask') if heads.with_mask else ('bbox',):
        for extractor in parts(getattr(heads, f'{kind}_roi_extractor')):
            _check('roi_extractor', extractor, ('SingleRoIExtractor',))
            _check('roi_layer', extractor.roi_layers[0], ('RoIAlign',))
    if heads.with_mask:
        for head in parts(heads.mask_head):
            _check('mask_head', head, ('FCNMaskHead',))


def _check_nms(cfg: Any) -> None:
    """Refuse anything except plain suppression; `max_num` has no effect here."""
    nms = cfg.get('nms')
    if not nms:
        raise UserError('a detector whose test_cfg has no nms cannot be exported')
    kind = nms.get('type', 'nms')
    if kind != 'nms':
        raise UserError(f"test_cfg has nms of type {kind!r}; only type 'nms' can be exported")
    if unknown := sorted(set(nms) - NMS):
        raise UserError(f'nms has {", ".join(unknown)}; it cannot be exported')


def _check(role: str, part: object, allowed: tuple[str, ...]) -> None:
    if type(part).__name__ not in allowed:
        raise UserError(
            f'{role} is a {type(part).__name__}; only {", ".join(allowed)} can be exported'
        )
