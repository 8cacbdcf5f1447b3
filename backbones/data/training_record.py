"""What a checkpoint says of its own training, compared with the config that is to use it."""

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from backbones.data.class_order import check_class_order
from backbones.data.config_datasets import allowed_faults
from backbones.data.faults import Faults
from backbones.errors import UserError, listed
from backbones.openmmlab.config_text import settings
from backbones.openmmlab.config_tree import classes_of, innermost, with_backbone

# of the model's data_preprocessor; weights trained with one of these know no other
PREPROCESSING = ('mean', 'std', 'bgr_to_rgb', 'rgb_to_bgr')


def check_training(cfg: Config, file: dict, source: str) -> None:
    """Compare what a config says of a training run with its data and with the checkpoint.

    Args:
        cfg: the config to use.
        file: the checkpoint, as `backbones.checkpoints.read` returns it.
        source: what messages call it.

    Raises:
        UserError: the annotations that the model learnt from list the classes in another order than
            the config, and MMDetection's own dataset read them: names stand for other classes.
    """
    faults = Faults(allowed_faults(cfg))
    loader = cfg.get('train_dataloader') or {}
    for part in innermost(loader['dataset']) if 'dataset' in loader else ():
        classes = classes_of(cfg, part) or ()
        path = Path(part.get('data_root') or '', part.get('ann_file') or '')
        if cfg.get('default_scope') == 'mmdet' and path.is_file():
            check_class_order(part['type'], path, classes, 'train_dataloader', faults)
    if faults.errors:
        raise UserError(f'{source} learnt other names\n' + '\n'.join(faults.lines()))
    warn_of_preprocessing(cfg, file, source)


def warn_of_preprocessing(cfg: Config, file: dict, source: str) -> None:
    """Warn if images would be normalised otherwise than in the training. See `check_training`."""
    meta = file.get('meta')
    text = meta.get('cfg') if isinstance(meta, dict) else None
    own = with_backbone(cfg.model).get('data_preprocessor')
    if not isinstance(text, str) or not own:
        return
    before = settings(text)
    differs = [
        f'{key} {before[key]} there, {now} here'
        for name in PREPROCESSING
        for key, now in settings(f'model = {dict(data_preprocessor={name: own.get(name)})}').items()
        if key in before and _value(before[key]) != _value(now)
    ]
    if differs:
        print_log(
            f'{source} was trained with other preprocessing of images than this config has, so '
            f'results will be worse: {listed(differs)}. Use the config that it was trained with',
            logger='current',
            level=logging.WARNING,
        )


def _value(text: object) -> object:
    """A number for the text of one: 1 and 1.0 are the same."""
    try:
        return float(str(text))
    except ValueError:
        return text
