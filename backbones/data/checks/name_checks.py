"""Checks of the names of classes, files and folders."""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from backbones.data.dataset import Dataset
from backbones.data.faults.faults import Faults

# characters that change the direction of writing
TURNING = '\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'


def check_names(dataset: Dataset, faults: Faults) -> None:
    """Check all names of a dataset, and compare its class names with each other."""
    for place, names in _names(dataset):
        for name in filter(has_controls, names):
            faults.add('control-character', place, repr(name))
    plain: dict[str, str] = {}
    for name in dataset.classes:
        if str(name) != str(name).strip():
            faults.add('blank-in-name', dataset.root, repr(name))
        key = _plain(str(name))
        others = [k for k in plain if len(k) > 4 and _letters(k) != _letters(key)]
        close = difflib.get_close_matches(key, others, n=1, cutoff=0.9)
        if key in plain or close:
            other = plain[key] if key in plain else plain[close[0]]
            kind = 'duplicate-class' if other == name else 'similar-classes'
            faults.add(kind, dataset.root, f'{other!r} and {name!r}')
        plain[key] = name
    if dataset.detection:
        _check_categories(dataset, faults)


def _plain(name: str) -> str:
    """Return a name without what is easily overlooked: case, blanks, invisible characters."""
    seen = (c for c in unicodedata.normalize('NFKC', name) if unicodedata.category(c) != 'Cf')
    return ''.join(''.join(seen).split()).casefold()


def _letters(name: str) -> str:
    """Return a name without its numbers, since lane10 and lane11 differ on purpose."""
    return re.sub(r'\d+', '', name)


def _names(dataset: Dataset) -> Iterator[tuple[Path, Iterable[str]]]:
    """Yield all names that a config or a page repeats, each with its source."""
    yield dataset.root, [str(dataset.root), *map(str, dataset.classes)]
    for split in dataset.splits.values():
        categories = split.records.get('categories', [])
        yield split.source, {str(c.get('name')) for c in categories} - set(dataset.classes)
        yield split.images, (str(path) for path in split.paths())


def has_controls(name: str) -> bool:
    """Return whether a name has line breaks, direction marks, controls or lone surrogates."""
    return not name.isprintable() and any(
        unicodedata.category(c) in ('Cc', 'Cs', 'Zl', 'Zp') or c in TURNING for c in name
    )


def _check_categories(dataset: Dataset, faults: Faults) -> None:
    """Compare each split's categories with the training split's and with the classes."""
    listed = {
        split.source: Counter(
            str(category.get('name')) for category in split.records.get('categories', [])
        )
        for split in dataset.splits.values()
    }
    first, *_ = listed.values()
    for source, names in listed.items():
        for name in sorted(names.keys() ^ first.keys()) if names and first else ():
            where = 'is not in the training split' if name in names else 'is missing'
            faults.add('classes-differ', source, f'{name!r} {where}')
    source = next(iter(listed))
    for name in dataset.classes:
        if first and name not in first:
            faults.add('classes-differ', source, f'{name!r} is missing')
    for name in sorted(first.keys() - set(dataset.classes)):
        faults.add('class-left-out', source, repr(name))
