"""Choosing a config's input scale, crops and anchors by the training boxes."""

import numpy as np
from mmengine.config import Config

from backbones.data.configs import anchors
from backbones.data.configs.fitted import Fit, longest_of, rounded, scaled
from backbones.data.configs.statistics import BoxStatistics
from backbones.data.dataset import Dataset
from backbones.errors import shown
from backbones.openmmlab.config_tree import steps, with_backbone

LARGE = 0.95  # quantile of the boxes that have to fit into a crop
WHOLE = (0.75, 1.1)  # sizes of whole images in training, relative to the size in testing
FEW = 0.05  # share of boxes that may not fit without being reported


def fit_boxes(
    made: Fit, boxes: BoxStatistics, dataset: Dataset, cfg: Config, *, keep_anchors: bool
) -> None:
    limits = cfg.get('fitted')
    longest = longest_of(cfg, boxes.images)
    crop = min((min(step['crop_size']) for step in _crops(cfg)), default=None)
    if limits:
        longest, why = _scale_of_boxes(boxes, dataset, limits)
        made.steps |= scaled(longest)
        made.reasons.append(why)
        crop = _crop_boxes(made, boxes, longest, cfg)
    if longest is None:
        return
    sizes = boxes.at(longest)
    if crop is not None and (cut := (sizes.max(1) > crop).mean()) > FEW:
        made.misfits.append(
            f'{cut:.0%} of the boxes are larger than the crop of {crop} pixels: they are only ever '
            'learnt in parts'
        )
    _fit_anchors(made, sizes, change=bool(limits) and not keep_anchors)


def _crop_boxes(made: Fit, boxes: BoxStatistics, longest: int, cfg: Config) -> int:
    """Train on whole images if an iteration can take two, and return the side of a crop.

    People label objects that the image border cuts in their own ways, which crops hide.
    """
    limits, usual = cfg.fitted, cfg.train_dataloader.batch_size
    median = np.median(boxes.images, 0)
    width, height = map(rounded, median * longest / median.max())
    batch = min(limits['pixels'] // (width * height), usual)
    if batch >= 2:
        made.batch = batch
        made.steps['RandomResize']['ratio_range'] = WHOLE
        crop = rounded(longest * WHOLE[1])
        made.reasons.append(f'whole images of about {width}x{height}, {batch} in an iteration')
    else:
        large = float(np.quantile(boxes.at(longest).max(1), LARGE))
        crop = min(max(rounded(large), limits['least_crop']), limits['crop'], longest)
        made.reasons.append(
            f'crops of {crop} pixels: {LARGE:.0%} of the boxes are smaller than {large:.0f}'
        )
    made.steps['RandomCrop'] = dict(crop_size=(crop, crop))
    return crop


def _scale_of_boxes(boxes: BoxStatistics, dataset: Dataset, limits: dict) -> tuple[int, str]:
    """Return the longer side of an input in pixels, and why.

    The median box of the class with the smallest boxes gets `small` pixels.
    """
    sides = np.sqrt(boxes.boxes.prod(1))
    relative = np.sqrt(boxes.at(1).prod(1))  # side of a box / longer side of its image
    medians = {i: np.median(relative[boxes.labels == i]) for i in np.unique(boxes.labels)}
    smallest = min(medians, key=lambda i: medians[i])
    wanted = rounded(limits['small'] / medians[smallest])
    longest = int(np.clip(wanted, limits['least'], limits['longest']))
    of, whose = boxes.labels == smallest, 'the median box'
    if len(medians) > 1:
        whose += f' of {shown(dataset.classes[smallest])}, the class with the smallest,'
    was, seen = np.median(sides[of]), np.median(relative[of]) * longest
    there = f'{longest} pixels (images have {np.median(boxes.images.max(1)):.0f})'
    return longest, f'{there}: {whose} is {was:.0f} pixels in them and {seen:.0f} in the input'


def _fit_anchors(made: Fit, sizes: np.ndarray, *, change: bool) -> None:
    model = with_backbone(made.model)
    for part, assigner in (
        (model.get('bbox_head'), (model.get('train_cfg') or {}).get('assigner')),
        (model.get('rpn_head'), ((model.get('train_cfg') or {}).get('rpn') or {}).get('assigner')),
    ):
        generator = part.get('anchor_generator') if isinstance(part, dict) else None
        if not generator or generator.get('type') != 'AnchorGenerator':
            continue
        if (assigner or {}).get('type') != 'MaxIoUAssigner':
            continue  # others, such as ATSS, compare centres, so the shape matters less
        before = anchors.share_without(sizes, generator)
        if change:
            generator.update(anchors.fitted_anchors(sizes, generator))
            after = anchors.share_without(sizes, generator)
            made.reasons.append(
                f'anchors: {1 - after:.1%} of the boxes have one of IoU {anchors.NEEDED:g}; with '
                f"the base's, {1 - before:.1%}"
            )
            before = after
        if before > FEW:
            made.misfits.append(
                f'{before:.0%} of the boxes have no anchor of IoU {anchors.NEEDED:g}: expect them '
                'to be found less often'
            )


def _crops(cfg: Config) -> list[dict]:
    found = steps(cfg.train_dataloader, 'RandomCrop')
    return [step for step in found if step.get('crop_type', 'absolute') == 'absolute']
