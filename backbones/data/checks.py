"""Checks of a config's data before a training starts."""

import inspect
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image

from backbones.errors import MissingFileError, UserError
from backbones.openmmlab.registries import find_class

LABEL_FILES = 20  # label maps that are looked into
LARGE_JSON = 100 << 20  # bytes; COCO's training file takes 15 s to read, its validation file 1 s


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


def check_files(dataset: dict) -> None:
    """Check that a dataset's folders and annotation file exist.

    Raises:
        MissingFileError: names the missing path and where the layout is described.
    """
    root = dataset.get('data_root') or ''
    parts = [dataset.get('ann_file') or '', *(dataset.get('data_prefix') or {}).values()]
    for part in filter(None, parts):
        path = Path(os.path.join(root, part))
        if not path.exists():
            raise MissingFileError(
                f'{dataset["type"]} is not where the config expects it: {path.absolute()} does not '
                'exist. The folder layout is in README.md, section "Datasets"; --data-root DIR '
                'points elsewhere'
            )


def check_classes(cfg: Config, dataset: dict) -> None:
    """Compare the heads' num_classes and the annotations with the dataset's class names.

    Raises:
        UserError: they disagree.
    """
    classes = classes_of(cfg, dataset)
    if classes is None:
        return
    if isinstance(classes, str):
        raise UserError(
            f'metainfo.classes is the string {classes!r}; write a tuple: ({classes!r},)'
        )
    for place, number in num_classes(cfg.model, 'model'):
        if number != len(classes):
            raise UserError(
                f'{place}.num_classes is {number}, but {dataset["type"]} has {len(classes)} '
                f'classes ({", ".join(classes[:4])}{", ..." if len(classes) > 4 else ""}): '
                f'set it to {len(classes)}, or name your classes in the dataset: '
                'metainfo=dict(classes=(...))'
            )
    if cfg.default_scope == 'mmdet':
        _check_categories(dataset, classes)
    elif cfg.default_scope == 'mmseg':
        _check_labels(cfg, dataset, len(classes))


def num_classes(node: object, place: str) -> list[tuple[str, int]]:
    """Every `num_classes` in a model config, with its place; the RPN's is always 1."""
    if isinstance(node, list | tuple):
        return [f for i, n in enumerate(node) for f in num_classes(n, f'{place}.{i}')]
    if not isinstance(node, dict) or place.endswith('rpn_head'):
        return []
    here = [(place, node['num_classes'])] if 'num_classes' in node else []
    return here + [f for k, n in node.items() for f in num_classes(n, f'{place}.{k}')]


def _check_categories(dataset: dict, classes: tuple[str, ...]) -> None:
    file = Path(os.path.join(dataset.get('data_root') or '', dataset.get('ann_file') or ''))
    if file.suffix != '.json' or file.stat().st_size > LARGE_JSON:
        return
    names = [category['name'] for category in json.loads(file.read_text()).get('categories', [])]
    missing = [name for name in classes if name not in names]
    more = ', ...' if len(names) > 10 else ''
    if missing:
        raise UserError(
            f'{file} has no category {", ".join(map(repr, missing[:5]))}; its {len(names)} '
            f'categories are {", ".join(names[:10])}{more}. Name them, in this '
            'spelling, in the dataset: metainfo=dict(classes=(...)), and set num_classes'
        )


def _check_labels(cfg: Config, dataset: dict, number: int) -> None:
    prefix = (dataset.get('data_prefix') or {}).get('seg_map_path')
    if not prefix:
        return
    cls = find_class(dataset['type'], cfg.default_scope)
    default = inspect.signature(cls).parameters.get('seg_map_suffix') if cls else None
    suffix = dataset.get('seg_map_suffix') or (default.default if default else '.png')
    reduced = reduces(dataset.get('pipeline', [])) or dataset.get('reduce_zero_label', False)
    ignored = dataset.get('ignore_index', 255)
    folder = Path(os.path.join(dataset.get('data_root') or '', prefix))
    files = sorted(itertools.islice(folder.rglob(f'*{suffix}'), LABEL_FILES))
    if not files:
        raise MissingFileError(
            f'{folder.absolute()} holds no label map *{suffix}; see README.md, section "Datasets"'
        )
    values = sorted({int(v) for f in files for v in np.unique(np.asarray(Image.open(f)))})
    largest = max((v - reduced for v in values if v != ignored), default=0)
    if largest >= number:
        raise UserError(
            f'{folder} has label values up to {largest + reduced} (found in {len(files)} files), '
            f'but with {number} classes{" and reduce_zero_label" if reduced else ""} the largest '
            f'allowed is {number - 1 + reduced}, and {ignored} for "ignore". Fix num_classes and '
            'metainfo, or reduce_zero_label'
        )


def reduces(node: object) -> bool:
    """Whether a pipeline, or one inside TestTimeAug, turns label 0 into "ignore"."""
    if isinstance(node, dict):
        here = node.get('type') == 'LoadAnnotations' and node.get('reduce_zero_label')
        return bool(here) or reduces(list(node.values()))
    return isinstance(node, list | tuple) and any(map(reduces, node))
