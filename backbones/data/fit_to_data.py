"""What the data decide in a config: input scale, crops, anchors, flips, weights of classes."""

import copy
from dataclasses import dataclass, field

import numpy as np
from mmengine.config import Config

from backbones.data import anchors
from backbones.data.config_text import literal, statement
from backbones.data.dataset import Dataset
from backbones.data.pipelines import steps
from backbones.data.statistics import (
    BoxStatistics,
    LabelStatistics,
    box_statistics,
    label_statistics,
)
from backbones.data.write_config import comments
from backbones.errors import shown
from backbones.openmmlab.config_tree import nodes, with_backbone

FLIPS: dict[str, dict] = {
    'none': dict(prob=0.0, direction='horizontal'),
    'horizontal': dict(prob=0.5, direction='horizontal'),
    'all': dict(prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal']),
}
STRIDE = 32  # of the coarsest level: sizes of inputs are multiples
LARGE = 0.95  # quantile of the boxes that have to fit into a crop
# IoUs that every class, and the classes on average, should be able to reach at the stride of the
# logits; more pixels would leave fewer iterations in the same time (docs/own_data_measured.md)
REACH, MEAN_REACH = 0.3, 0.75
THIN = 0.5  # IoU below which a class is named
RARE = 0.02  # share of the pixels below which a class is rare
FEW = 0.05  # share of boxes that may not fit before it is said


@dataclass
class Fit:
    """Decisions, and the sentences about them.

    Args:
        model: the model's settings.
        steps: type of a transform -> the settings that change in it.
        batch: images per iteration; None keeps the base's.
        reasons: one sentence for each decision, with the number that it came from.
        misfits: what does not fit all the same.
    """

    model: dict
    steps: dict[str, dict] = field(default_factory=dict)
    batch: int | None = None
    reasons: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)

    @property
    def longest(self) -> int | None:
        """The longer side of an input in pixels; None if it is the base's."""
        return self.steps['Resize']['scale'][0] if 'Resize' in self.steps else None

    def lines(self) -> list[str]:
        """Return the config's lines: the reasons, and a function that changes a pipeline."""
        lines = comments(self.reasons)
        if self.steps:
            lines += [
                statement('__fit', literal(self.steps)),
                "__fitted = lambda steps: [dict(x, **__fit.get(x['type'], {})) for x in steps]",
            ]
        return lines

    def wrap(self) -> str:
        """Return what is made of the expression for a pipeline."""
        return '__fitted({})' if self.steps else '{}'


def fit(
    dataset: Dataset,
    cfg: Config,
    model: dict,
    *,
    flips: str | None = None,
    keep_anchors: bool = False,
) -> Fit:
    """Decide by the training images.

    Scale, crops, anchors and weights are chosen for a base that allows it by the setting `fitted`,
    which limits what an iteration may cost: `least` and `longest` bound the longer side of an input
    in pixels, `crop` is the largest side of a crop to train on; the datasets of the small bases say
    the others. Of other bases, only the misfits are found.

    Args:
        dataset: a checked one.
        cfg: the base.
        model: the new config's model so far; is not changed.
        keep_anchors: leave them as they are, for a model that has been trained with them.
        flips: a key of `FLIPS`; None leaves the base's, or is horizontal if the base can be fitted.
    """
    made = Fit(copy.deepcopy(model))
    if dataset.detection:
        boxes = box_statistics(dataset)
        if boxes is not None:
            _fit_boxes(made, boxes, dataset, cfg, keep_anchors=keep_anchors)
    else:
        labels = label_statistics(dataset)
        if labels is not None:
            _fit_labels(made, labels, dataset, cfg)
    if flips or 'fitted' in cfg:
        _flip(made, cfg, flips)
    return made


def _flip(made: Fit, cfg: Config, flips: str | None) -> None:
    if not [*steps(cfg.train_dataloader.dataset, 'RandomFlip')]:
        if flips:
            made.misfits.append(f'the base flips no images, so --flips {flips} has no effect')
        return
    made.steps['RandomFlip'] = FLIPS[flips or 'horizontal']
    if flips:
        made.reasons.append(f'flips: {flips}, as said by --flips')
    else:
        made.reasons.append('flips: horizontal; --flips all if the images have no upright '
                            'direction, none if left and right differ')  # fmt: skip


def _fit_boxes(
    made: Fit, boxes: BoxStatistics, dataset: Dataset, cfg: Config, *, keep_anchors: bool
) -> None:
    limits = cfg.get('fitted')
    longest = _longest(cfg, boxes.images)
    crop = min((min(step['crop_size']) for step in _crops(cfg)), default=None)
    if limits:
        longest, why = _scale_of_boxes(boxes, dataset, limits)
        large = float(np.quantile(boxes.at(longest).max(1), LARGE))
        crop = min(max(_round(large), limits['least_crop']), limits['crop'], longest)
        made.steps |= _scale(longest)
        made.steps['RandomCrop'] = dict(crop_size=(crop, crop))
        made.reasons += [
            why,
            f'crops of {crop} pixels: {LARGE:.0%} of the boxes are smaller than {large:.0f}',
        ]
    if longest is None:
        return
    sizes = boxes.at(longest)
    if crop is not None and (cut := (sizes.max(1) > crop).mean()) > FEW:
        made.misfits.append(
            f'{cut:.0%} of the boxes are larger than the crop of {crop} pixels: they are only ever '
            'learnt in parts'
        )
    _fit_anchors(made, sizes, change=bool(limits) and not keep_anchors)


def _scale_of_boxes(boxes: BoxStatistics, dataset: Dataset, limits: dict) -> tuple[int, str]:
    """Return the longer side of an input in pixels, and why.

    The median box gets `typical` pixels, and that of the class with the smallest ones `small`.
    """
    sides = np.sqrt(boxes.boxes.prod(1))
    relative = np.sqrt(boxes.at(1).prod(1))  # to the longer side of the image
    medians = {i: np.median(relative[boxes.labels == i]) for i in np.unique(boxes.labels)}
    smallest = min(medians, key=lambda i: medians[i])
    of_class = limits['small'] / medians[smallest]
    of_all = limits['typical'] / np.median(relative)
    longest = int(np.clip(_round(max(of_class, of_all)), limits['least'], limits['longest']))
    of, whose = boxes.labels >= 0, 'the median box'
    if of_class > of_all:
        name = shown(dataset.classes[smallest])
        of, whose = (
            boxes.labels == smallest,
            f'the median box of {name}, the class with the smallest,',
        )
    was, seen = np.median(sides[of]), np.median(relative[of]) * longest
    there = f'{longest} pixels (images have {np.median(boxes.images.max(1)):.0f})'
    return longest, f'{there}: {whose} is {was:.0f} pixels there and {seen:.0f} here'


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
            continue  # others, such as ATSS, compare centres and need no fitting shape
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


def _fit_labels(made: Fit, labels: LabelStatistics, dataset: Dataset, cfg: Config) -> None:
    limits = cfg.get('fitted')
    names = [shown(name) for name in dataset.classes]
    longest = _longest(cfg, labels.images)
    if limits:
        longest, why = _scale_of_labels(labels, names, limits)
        made.steps |= _scale(longest)
        made.reasons.append(why)
        _crop_labels(made, labels, longest, cfg)
        _weigh(made, labels, names)
    if longest is None:
        return
    cell = 4 * float(np.median(labels.images.max(1))) / longest
    near = min(labels.reachable, key=lambda known: abs(np.log(known / cell)))
    lost = {n: r for n, r in zip(names, labels.reachable[near]) if r < THIN}
    if lost:
        listed = ', '.join(f'{name} {reach:.2f}' for name, reach in lost.items())
        made.misfits.append(
            f'with one cell of the logits for about {near} pixels of an image, thin classes cannot '
            f'reach much more than these IoUs: {listed}'
        )


def _scale_of_labels(labels: LabelStatistics, names: list[str], limits: dict) -> tuple[int, str]:
    median = int(np.median(labels.images.max(1)))
    worst = {cell: _worst(reached) for cell, reached in labels.reachable.items()}
    mean = {cell: float(np.nanmean(reached)) for cell, reached in labels.reachable.items()}
    enough = [cell for cell in mean if worst[cell][1] >= REACH and mean[cell] >= MEAN_REACH]
    cell = max(enough, default=min(mean))
    wanted = median * limits['stride'] / cell
    longest = int(np.clip(_round(wanted), min(limits['least'], _round(median)), limits['longest']))
    index, reach = worst[cell]
    return longest, (
        f'{longest} pixels (images have {median}): with one class for each {cell}x{cell} pixels of '
        f'an image, the classes could reach an IoU of {mean[cell]:.2f}, and {names[index]}, the '
        f'lowest, {reach:.2f}'
    )


def _worst(reachable: np.ndarray) -> tuple[int, float]:
    index = int(np.nanargmin(reachable))
    return index, float(reachable[index])


def _crop_labels(made: Fit, labels: LabelStatistics, longest: int, cfg: Config) -> None:
    """Train on whole images if they are not too large: a part of a scene lacks what explains it."""
    limits = cfg.fitted
    width, height = np.median(labels.images, 0) * longest / np.median(labels.images.max(1))
    size = min(_round(height), limits['crop']), min(_round(width), limits['crop'])
    made.steps['RandomCrop'] = dict(crop_size=size)
    if (made.model.get('data_preprocessor') or {}).get('size'):
        made.model['data_preprocessor']['size'] = size
    usual = cfg.train_dataloader.batch_size
    made.batch = int(np.clip(limits['pixels'] // (size[0] * size[1]), min(2, usual), usual))
    seen = min(1.0, size[0] * size[1] / (width * height))
    made.reasons.append(
        f'crops of {size[1]}x{size[0]} pixels, {seen:.0%} of an image; {made.batch} of them in an '
        'iteration'
    )


def _weigh(made: Fit, labels: LabelStatistics, names: list[str]) -> None:
    """Weigh classes by the root of their rarity, so that the mean weight of a pixel is 1."""
    shares = labels.shares
    rare = {name: share for name, share in zip(names, shares) if 0 < share < RARE}
    if not rare:
        return
    weights = np.where(shares > 0, 1 / np.sqrt(np.maximum(shares, 1e-4)), 0)
    weights = weights / (weights * shares).sum()
    rounded = [float(f'{weight:.3g}') for weight in np.where(shares > 0, weights, 1)]
    for node in nodes(made.model):
        if node.get('type') == 'CrossEntropyLoss' and not node.get('use_sigmoid'):
            node['class_weight'] = rounded
    listed = ', '.join(f'{name} {share:.1%}' for name, share in rare.items())
    made.reasons.append(f'class weights, the root of their rarity: few pixels are {listed}')


def _longest(cfg: Config, images: np.ndarray) -> int | None:
    """Return the longer side to which the base resizes the median image, if it does."""
    resizes = [*steps(cfg.val_dataloader, 'Resize')]
    scale = resizes[0].get('scale') if resizes else None
    if not scale or not isinstance(scale, list | tuple) or len(scale) != 2:
        return None
    sizes = np.median(images, 0)
    return round(sizes.max() * min(max(scale) / sizes.max(), min(scale) / sizes.min()))


def _crops(cfg: Config) -> list[dict]:
    found = [*steps(cfg.train_dataloader, 'RandomCrop')]
    return [step for step in found if step.get('crop_type', 'absolute') == 'absolute']


def _scale(longest: int) -> dict[str, dict]:
    return {kind: dict(scale=(longest, longest)) for kind in ('RandomResize', 'Resize')}


def _round(side: float) -> int:
    """Round up to a multiple of the coarsest stride."""
    return -int(-side // STRIDE) * STRIDE
