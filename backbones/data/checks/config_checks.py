"""Checks of a config's data before a training run starts."""

import os
from pathlib import Path

from mmengine.config import Config

from backbones.data.checks.class_order import categories_of
from backbones.errors import UserError
from backbones.openmmlab.config_tree import classes_of, num_classes, steps, things_of


def missing_paths(dataset: dict) -> list[Path]:
    """Return the missing ones among a dataset's folders and its annotation file."""
    root = dataset.get('data_root') or ''
    parts = [dataset.get('ann_file') or '', *(dataset.get('data_prefix') or {}).values()]
    paths = [Path(os.path.abspath(os.path.join(root, part))) for part in filter(None, parts)]
    return [path for path in paths if not path.exists()]


def check_numbers(cfg: Config, dataset: dict) -> tuple[str, ...] | None:
    """Compare the heads' num_classes with the dataset's class names, and return the names.

    Raises:
        UserError: they disagree.
    """
    classes = classes_of(cfg, dataset)
    if classes is None:
        return None
    if isinstance(classes, str):
        raise UserError(
            f'metainfo.classes is the string {classes!r}; write a tuple: ({classes!r},)'
        )
    allowed = {len(classes), len(things_of(cfg, dataset)) or len(classes)}
    numbers = num_classes(cfg.model, 'model')
    wrong = [f'{place} is {number}' for place, number in numbers if number not in allowed]
    if wrong:
        raise UserError(
            f'{" and ".join(wrong)}, but {dataset["type"]} has {len(classes)} '
            f'classes ({", ".join(classes[:4])}{", ..." if len(classes) > 4 else ""}): '
            f'set it to {len(classes)}, or name your classes in the dataset: '
            'metainfo=dict(classes=(...))'
        )
    return classes


def check_categories(cfg: Config, dataset: dict) -> None:
    """Compare the categories of an annotation file, if any, with the dataset's classes.

    Raises:
        UserError: the file has no category for a class.
    """
    classes = classes_of(cfg, dataset) or ()
    file = Path(os.path.join(dataset.get('data_root') or '', dataset.get('ann_file') or ''))
    if isinstance(classes, str) or cfg.default_scope != 'mmdet' or file.suffix != '.json':
        return
    names = [category['name'] for category in categories_of(file)]
    if not names:
        return
    missing = [name for name in classes if name not in names]
    more = ', ...' if len(names) > 10 else ''
    if missing:
        raise UserError(
            f'{file} has no category {", ".join(map(repr, missing[:5]))}; its {len(names)} '
            f'categories are {", ".join(names[:10])}{more}. List them with this '
            'spelling in the dataset: metainfo=dict(classes=(...)), and set num_classes'
        )


def reduces(node: object) -> bool:
    """Return whether a pipeline, or one inside TestTimeAug, turns label 0 into "ignore"."""
    return any(step.get('reduce_zero_label') for step in steps(node, 'LoadAnnotations'))
