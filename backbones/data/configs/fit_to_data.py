"""Choosing a config's input scale, crops, anchors, flips and class weights by the data."""

import copy

from mmengine.config import Config

from backbones.data.configs.fit_boxes import fit_boxes
from backbones.data.configs.fit_labels import fit_labels
from backbones.data.configs.fitted import Fit
from backbones.data.configs.statistics import box_statistics, label_statistics
from backbones.data.dataset import Dataset
from backbones.openmmlab.config_tree import steps

FLIPS: dict[str, dict] = {
    'none': dict(prob=0.0, direction='horizontal'),
    'horizontal': dict(prob=0.5, direction='horizontal'),
    'all': dict(prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal']),
}


def fit(
    dataset: Dataset,
    cfg: Config,
    model: dict,
    *,
    flips: str | None = None,
    keep_anchors: bool = False,
) -> Fit:
    """Choose settings by the training images.

    Scale, crops, anchors and weights are chosen if the base allows it by the setting `fitted`,
    which limits what an iteration may cost: `least` and `longest` bound the longer side of an input
    in pixels, `crop` is the largest side of a training crop; the small bases' datasets explain
    the other keys. For other bases, only the misfits are reported.

    Args:
        dataset: a checked dataset.
        cfg: the base.
        model: the new config's model so far; it is not changed.
        keep_anchors: leave the anchors as they are, for a model that was trained with them.
        flips: a key of `FLIPS`; None leaves the base's, or is horizontal if the base can be fitted.
    """
    made = Fit(copy.deepcopy(model))
    if dataset.detection:
        boxes = box_statistics(dataset)
        if boxes is not None:
            fit_boxes(made, boxes, dataset, cfg, keep_anchors=keep_anchors)
    else:
        labels = label_statistics(dataset)
        if labels is not None:
            fit_labels(made, labels, dataset, cfg)
    if flips or 'fitted' in cfg:
        _flip(made, cfg, flips)
    return made


def _flip(made: Fit, cfg: Config, flips: str | None) -> None:
    if not steps(cfg.train_dataloader.dataset, 'RandomFlip'):
        if flips:
            made.misfits.append(f'the base flips no images, so --flips {flips} has no effect')
        return
    made.steps['RandomFlip'] = FLIPS[flips or 'horizontal']
    if flips:
        made.reasons.append(f'flips: {flips}, from --flips')
    else:
        made.reasons.append('flips: horizontal; --flips all if the images have no upright '
                            'direction, none if left and right differ')  # fmt: skip
