"""Comparing what a checkpoint records of its training run with the config that uses it."""

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from backbones.data.checks.class_order import check_class_order
from backbones.data.checks.config_datasets import allowed_faults
from backbones.data.faults.faults import Faults
from backbones.errors import UserError, listed
from backbones.openmmlab.config_tree import classes_of, innermost, with_backbone
from backbones.openmmlab.stored_config import settings

# settings of the model's data_preprocessor that must be the same as in training
PREPROCESSING = ('mean', 'std', 'bgr_to_rgb', 'rgb_to_bgr')


def check_training(cfg: Config, file: dict, source: str) -> None:
    """Compare a config with the data and settings of the training run that made a checkpoint.

    Args:
        cfg: the config to use.
        file: the checkpoint, as `backbones.checkpoints.read` returns it.
        source: the checkpoint's name for messages.

    Raises:
        UserError: the training annotations list the classes in another order than the config, and
            MMDetection's own dataset read them, so that classes would get wrong names.
    """
    faults = Faults(allowed_faults(cfg))
    loader = cfg.get('train_dataloader') or {}
    for part in innermost(loader['dataset']) if 'dataset' in loader else ():
        classes = classes_of(cfg, part) or ()
        path = Path(part.get('data_root') or '', part.get('ann_file') or '')
        if cfg.get('default_scope') == 'mmdet' and path.is_file():
            check_class_order(part['type'], path, classes, 'train_dataloader', faults)
    if faults.errors:
        raise UserError(f'{source} learnt other class names\n' + '\n'.join(faults.lines()))
    warn_of_preprocessing(cfg, file, source)


def warn_of_preprocessing(cfg: Config, file: dict, source: str) -> None:
    """Warn if images would not be normalised as in the training run. See `check_training`."""
    meta = file.get('meta')
    text = meta.get('cfg') if isinstance(meta, dict) else None
    own = with_backbone(cfg.model).get('data_preprocessor')
    if not isinstance(text, str) or not own:
        return
    before = settings(text)
    differs = [
        f'{key} {before[key]} in training but {now} here'
        for name in PREPROCESSING
        for key, now in settings(f'model = {dict(data_preprocessor={name: own.get(name)})}').items()
        if key in before and _value(before[key]) != _value(now)
    ]
    if differs:
        print_log(
            f"{source} was trained with image preprocessing that differs from this config's, so "
            f'results will be worse: {listed(differs)}. Use the config that it was trained with',
            logger='current',
            level=logging.WARNING,
        )


def _value(text: object) -> object:
    """Convert the text of a number, so that 1 equals 1.0."""
    try:
        return float(str(text))
    except ValueError:
        return text
