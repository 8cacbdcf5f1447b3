"""Whether MMDetection's own COCO classes would put the names of a config on the right classes."""

import json
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backbones.data.faults import Faults
from backbones.errors import listed
from backbones.openmmlab.registries import find_class

LARGE_JSON = 100 << 20  # bytes; COCO's training file takes 15 s to read, its validation file 1 s
KEY = b'"categories"'
COCO_BY_NAME = 'backbones.data.coco_by_name'  # imported late: it takes all of MMDetection


def categories_of(file: Path) -> list[dict]:
    """The categories of a COCO file; of a large one, nothing else of it is read.

    Returns:
        Those entries that have a name; empty where the file cannot be read: reading the
        annotations tells what is wrong.
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
    """Find the list in the bytes of a file, from its end, where most programs write it."""
    with file.open('rb') as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
        place = text.rfind(KEY)
        while place >= 0:
            start = text.find(b'[', place)
            end = text.find(b']', start)
            while end >= 0 and end - start < 1 << 20:
                try:
                    return json.loads(text[start : end + 1])
                except ValueError:  # the list goes on
                    end = text.find(b']', end + 1)
            place = text.rfind(KEY, 0, place)
    return []


def check_class_order(
    kind: object, file: Path, classes: Sequence[str], place: str, faults: Faults
) -> None:
    """Note a COCO file whose categories MMDetection's class would number otherwise than the config.

    Args:
        kind: the type of a dataset or metric in a config.
        file: its annotations.
        classes: the config's names, in the order of the labels.
        place: in the config.
    """
    numbers_by_file = _numbers_by_file(kind)
    if numbers_by_file is None or not file.is_file():
        return
    own = [c for c in categories_of(file) if c['name'] in classes]
    names = [c['name'] for c in own]
    if len(names) != len(classes):
        return  # other checks say so
    what = getattr(kind, '__name__', kind)
    for label, (found, meant) in enumerate(zip(names, classes)):
        if found != meant:
            example = f'{what} would take {found!r} for label {label}, which the config calls ' \
                      f'{meant!r}: {file} lists {listed(map(repr, names))}'  # fmt: skip
            return faults.add('class-order', place, example)
    ids = [c['id'] for c in own if isinstance(c.get('id'), int)]
    if numbers_by_file == 'metric' and ids != sorted(ids):
        example = f'{what} would exchange the AP of single classes: the ids in {file} do not ' \
                  f'rise ({listed(ids)})'  # fmt: skip
        faults.add('class-order', place, example)


def _numbers_by_file(kind: object) -> str | None:
    """'dataset' or 'metric' for a class that numbers labels by the order in its file, else None."""
    from mmdet.datasets import CocoDataset
    from mmdet.evaluation import CocoMetric
    from mmdet.evaluation.metrics.faster_coco_metric import FasterCocoMetric

    cls: Any = find_class(kind, 'mmdet') if isinstance(kind, str | type) else None
    if cls is None:
        return None
    if issubclass(cls, CocoDataset):
        own = cls.load_data_list is CocoDataset.load_data_list
        return 'dataset' if own and cls.COCOAPI is CocoDataset.COCOAPI else None
    computed = getattr(cls, 'compute_metrics', None)
    both = (CocoMetric.compute_metrics, FasterCocoMetric.compute_metrics)
    return 'metric' if computed in both else None
