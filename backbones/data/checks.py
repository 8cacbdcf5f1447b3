"""Checks of a config's data before a training starts."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from backbones.data.class_order import categories_of
from backbones.errors import UserError
from backbones.openmmlab.registries import find_class


def innermost(dataset: dict) -> Iterator[dict]:
    """The datasets inside wrappers such as RepeatDataset and ConcatDataset."""
    inner = dataset.get('dataset', dataset.get('datasets'))
    if inner is None:
        yield dataset
    else:
        for part in inner if isinstance(inner, list | tuple) else [inner]:
            yield from innermost(part)


def classes_of(cfg: Config, dataset: dict) -> tuple[str, ...] | None:
    """The class names that a dataset config will use, None if the class does not say."""
    named = dataset.get('metainfo') or {}
    cls = find_class(dataset['type'], cfg.get('default_scope'))
    return named.get('classes') or getattr(cls, 'METAINFO', {}).get('classes')


def things_of(cfg: Config, dataset: dict) -> tuple[str, ...]:
    """Those of a panoptic dataset's classes that are countable things; () for another dataset."""
    cls = find_class(dataset['type'], cfg.get('default_scope'))
    named = dict(getattr(cls, 'METAINFO', {})) | dict(dataset.get('metainfo') or {})
    return tuple(c for c in named.get('thing_classes') or () if c in named.get('classes', ()))


def missing_paths(dataset: dict) -> list[Path]:
    """The folders and the annotation file of a dataset that are not there."""
    root = dataset.get('data_root') or ''
    parts = [dataset.get('ann_file') or '', *(dataset.get('data_prefix') or {}).values()]
    paths = [Path(os.path.abspath(os.path.join(root, part))) for part in filter(None, parts)]
    return [path for path in paths if not path.exists()]


def check_numbers(cfg: Config, dataset: dict) -> tuple[str, ...] | None:
    """Compare the heads' num_classes with the dataset's class names, which are returned.

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
            f'set that to {len(classes)}, or name your classes in the dataset: '
            'metainfo=dict(classes=(...))'
        )
    return classes


def num_classes(node: object, place: str) -> list[tuple[str, int]]:
    """Every number of classes in a model config, with its place; the RPN's is always 1."""
    if isinstance(node, list | tuple):
        return [f for i, n in enumerate(node) for f in num_classes(n, f'{place}.{i}')]
    if not isinstance(node, dict) or place.endswith('rpn_head'):
        return []
    here = [(f'{place}.num_classes', node['num_classes'])] if 'num_classes' in node else []
    if 'num_things_classes' in node:  # Mask2Former
        number = node['num_things_classes'] + node.get('num_stuff_classes', 0)
        here.append((f'{place}.num_things_classes', number))
    return here + [f for k, n in node.items() for f in num_classes(n, f'{place}.{k}')]


def for_classes(node: Any, number: int, place: str = 'model') -> Any:
    """A model config with another number of classes, without weights of the base's classes."""
    if isinstance(node, list | tuple):
        return type(node)(for_classes(n, number, f'{place}.{i}') for i, n in enumerate(node))
    if not isinstance(node, dict):
        return node
    made = {k: for_classes(v, number, f'{place}.{k}') for k, v in node.items()}
    for key in {'num_classes', 'num_things_classes'} & {*made}:
        if dict(num_classes(node, place)).get(f'{place}.{key}'):
            made[key] = number
    if isinstance(made.get('class_weight'), list | tuple):
        made['class_weight'] = None
    if 'num_queries' in made and isinstance(node.get('loss_cls'), dict):  # the last is "no object"
        weights = node['loss_cls'].get('class_weight')
        if isinstance(weights, list | tuple):
            made['loss_cls']['class_weight'] = [1.0] * number + [weights[-1]]
    return made


def check_categories(cfg: Config, dataset: dict) -> None:
    """Compare the categories of an annotation file, if there is one, with the dataset's classes.

    Raises:
        UserError: a class is not among them.
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
            f'categories are {", ".join(names[:10])}{more}. Name them, in this '
            'spelling, in the dataset: metainfo=dict(classes=(...)), and set num_classes'
        )


def reduces(node: object) -> bool:
    """Whether a pipeline, or one inside TestTimeAug, turns label 0 into "ignore"."""
    if isinstance(node, dict):
        here = node.get('type') == 'LoadAnnotations' and node.get('reduce_zero_label')
        return bool(here) or reduces(list(node.values()))
    return isinstance(node, list | tuple) and any(map(reduces, node))
