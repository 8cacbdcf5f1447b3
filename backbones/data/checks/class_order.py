"""Checks that MMDetection's dataset classes give the right labels to the config's class names."""

import contextlib
import io
import json
import mmap
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backbones.data.faults.faults import Faults
from backbones.errors import listed
from backbones.openmmlab.registries import find_class

LARGE_JSON = 100 << 20  # bytes; COCO's training file takes 15 s to read, its validation file 1 s
KEY = b'"categories"'


def categories_of(file: Path) -> list[dict]:
    """Return the categories of a COCO file; of a large file, nothing else is parsed.

    Returns:
        The entries that have a name; none if the file cannot be read, which is reported when the
        annotations are read.
    """
    try:
        if file.stat().st_size <= LARGE_JSON:
            found = json.loads(file.read_text(encoding='utf-8-sig'))['categories']
        else:
            found = _search(file)
        return [category for category in found if isinstance(category.get('name'), str)]
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        return []


def _search(file: Path) -> list[dict]:
    """Find the list in a file's bytes, searching from the end, where most programs write it."""
    with file.open('rb') as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
        place = text.rfind(KEY)
        while place >= 0:
            start = text.find(b'[', place)
            end = text.find(b']', start)
            while end >= 0 and end - start < 1 << 20:
                try:
                    return json.loads(text[start : end + 1])
                except ValueError:  # the list continues
                    end = text.find(b']', end + 1)
            place = text.rfind(KEY, 0, place)
    return []


def check_class_order(
    kind: object, file: Path, classes: Sequence[str], place: str, faults: Faults
) -> None:
    """Add a fault if MMDetection would number the file's categories differently than the config.

    Args:
        kind: the type of a dataset or metric in a config.
        file: its annotations.
        classes: the config's names, in the order of the labels.
        place: where it is in the config.
    """
    cls: Any = find_class(kind, 'mmdet') if isinstance(kind, str | type) else None
    if cls is None or not file.is_file():
        return
    categories = categories_of(file)
    there = [c['name'] for c in categories]
    if not {*classes} <= {*there}:
        return  # other checks report this
    names = _names_by_label(cls, categories, classes)
    what = getattr(kind, '__name__', kind)
    for label, (found, meant) in enumerate(zip(names, classes)):
        if found != meant:
            example = f'{what} would use {found!r} as label {label}, which the config calls ' \
                      f'{meant!r}: {file} lists {listed(map(repr, there))}'  # fmt: skip
            return faults.add('class-order', place, example)
    ids = [c['id'] for c in categories if c['name'] in classes and isinstance(c.get('id'), int)]
    if _sorts_ids(cls) and ids != sorted(ids):
        example = f'{what} would swap the APs of individual classes: the ids in {file} are not ' \
                  f'in increasing order ({listed(ids)})'  # fmt: skip
        faults.add('class-order', place, example)


def check_things(
    file: Path, classes: Sequence[str], things: Sequence[str], place: str, faults: Faults
) -> None:
    """Compare which classes a panoptic file and the config call things rather than stuff.

    A model treats its first labels as things.
    """
    said = {c['name']: bool(c.get('isthing')) for c in categories_of(file)}
    for label, name in enumerate(classes):
        meant = name in things
        where = {'metainfo.thing_classes': meant, f'{file}': said.get(name, meant),
                 f'the model, by its index {label},': label < len(things)}  # fmt: skip
        if len({*where.values()}) > 1:
            words = (f'{who} says {"thing" if thing else "stuff"}' for who, thing in where.items())
            return faults.add('wrong-config', place, f'{name!r}: {", ".join(words)}')


def _names_by_label(cls: type, categories: list[dict], classes: Sequence[str]) -> list[str]:
    """Return the names that a dataset or metric gives to labels 0, 1, ...; [] if unknown."""
    from mmdet.datasets import CocoDataset
    from mmdet.datasets.base_video_dataset import BaseVideoDataset
    from mmdet.evaluation.metrics import CocoPanopticMetric
    from mmdet.evaluation.metrics.lvis_metric import LVISFixedAPMetric, LVISMetric

    if issubclass(cls, CocoDataset | BaseVideoDataset):
        return _asked(cls, categories, classes)
    if issubclass(cls, CocoPanopticMetric | LVISMetric | LVISFixedAPMetric):
        return [c['name'] for c in categories]  # the config's names do not matter
    return [c['name'] for c in categories if c['name'] in classes] if _of_coco(cls) else []


def _asked(cls: Any, categories: list[dict], classes: Sequence[str]) -> list[str]:
    """Let the dataset class itself number the categories, in a file without images.

    Each class does it differently: by the order in the file, by id, by name, or for all categories.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        file = Path(folder, 'categories.json')
        file.write_text(json.dumps(dict(images=[], annotations=[], categories=categories)))
        try:
            dataset = cls(
                ann_file=str(file),
                metainfo=dict(classes=classes),
                data_prefix=dict(img=''),
                lazy_init=True,
                pipeline=[],
            )
            dataset.load_data_list()
        except Exception:  # a custom class, or one that needs a package: loading reports it
            return []
    names = {c.get('id'): c['name'] for c in categories}
    return [names.get(i, '') for i in getattr(dataset, 'cat_ids', ())]


def _sorts_ids(cls: type) -> bool:
    """Return whether it is a metric whose table by class assumes sorted ids."""
    from mmdet.evaluation.metrics import LVISMetric

    return _of_coco(cls) or issubclass(cls, LVISMetric)


def _of_coco(cls: type) -> bool:
    """Return whether it is a metric that evaluates like MMDetection's COCO metrics."""
    from mmdet.evaluation import CocoMetric
    from mmdet.evaluation.metrics.faster_coco_metric import FasterCocoMetric

    both = (CocoMetric.compute_metrics, FasterCocoMetric.compute_metrics)
    return getattr(cls, 'compute_metrics', None) in both
