"""Choosing a config's input scale, crops and class weights by the training label maps."""

import numpy as np
from mmengine.config import Config

from backbones.data.configs.fitted import Fit, longest_of, rounded, scaled
from backbones.data.configs.statistics import LabelStatistics
from backbones.data.dataset import Dataset
from backbones.errors import shown
from backbones.openmmlab.config_tree import nodes

# IoUs that each class, and the mean over classes, should be able to reach at the stride of the
# logits; more pixels would leave fewer iterations in the same time (docs/own_data_measured.md)
REACH, MEAN_REACH = 0.3, 0.75
THIN = 0.5  # classes that cannot reach this IoU are reported
RARE = 0.02  # share of the pixels below which a class is rare


def fit_labels(made: Fit, labels: LabelStatistics, dataset: Dataset, cfg: Config) -> None:
    limits = cfg.get('fitted')
    names = [shown(name) for name in dataset.classes]
    longest = longest_of(cfg, labels.images)
    if limits:
        longest, why = _scale_of_labels(labels, names, limits)
        made.steps |= scaled(longest)
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
            f'with one cell of the logits per about {near} pixels of an image, thin classes cannot '
            f'reach much more than these IoUs: {listed}'
        )


def _scale_of_labels(labels: LabelStatistics, names: list[str], limits: dict) -> tuple[int, str]:
    median = int(np.median(labels.images.max(1)))
    worst = {cell: _worst(reached) for cell, reached in labels.reachable.items()}
    mean = {cell: float(np.nanmean(reached)) for cell, reached in labels.reachable.items()}
    enough = [cell for cell in mean if worst[cell][1] >= REACH and mean[cell] >= MEAN_REACH]
    cell = max(enough, default=min(mean))
    wanted = median * limits['stride'] / cell
    longest = int(
        np.clip(rounded(wanted), min(limits['least'], rounded(median)), limits['longest'])
    )
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
    """Train on whole images if they are not too large, because crops lack context."""
    limits = cfg.fitted
    width, height = np.median(labels.images, 0) * longest / np.median(labels.images.max(1))
    size = min(rounded(height), limits['crop']), min(rounded(width), limits['crop'])
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
    """Weight classes by the square root of their rarity; the mean weight of a pixel is 1."""
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
    made.reasons.append(f'class weights, the square root of rarity: few pixels are {listed}')
