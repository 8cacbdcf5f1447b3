"""Pairing images and label maps whose names differ by words, as img_7.jpg and gt_0007.png."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from backbones.data.dataset import SPLITS, split_of
from backbones.data.listing import SUFFIXES, directly_in

LABEL_WORDS = re.compile(
    'mask|label|annot|segment|ground.?truth|(?<![a-z])(gt|target|seg)(?![a-z])'
)
WORDS = re.compile(r'\d+|[^\W\d_]+')
DEPTH, MANY = 3, 200  # how deep folders are looked at, and how many
MOST = 0.8  # share of the smaller folder's files that have a partner
FEWEST = 2  # files of a folder, so that a word can be one that all share


def folders_of_splits(root: Path) -> dict[str, list[tuple[Path, Path]]]:
    """Return each split's folders of images and of label maps, the best match first."""
    names = {folder: _names(folder) for folder in _folders(root)}
    found: dict[str, list[tuple[float, Path, Path]]] = {}
    for labels in filter(_is_of_labels, names):
        for images in names:
            if _is_of_labels(images) or _split(root, images) != _split(root, labels):
                continue
            matched = partners(names[images], names[labels])
            share = len(matched) / max(min(len(names[images]), len(names[labels])), 1)
            if share >= MOST:
                found.setdefault(_split(root, labels), []).append((share, images, labels))
    best = {
        split: sorted(some, key=lambda one: (-one[0], *one[1:])) for split, some in found.items()
    }
    return {split: [(images, labels) for _, images, labels in some] for split, some in best.items()}


def partners(images: Collection[str], labels: Collection[str]) -> dict[str, str]:
    """Return image name -> label name for those that differ only in words that all names share.

    A number counts without leading zeros. Nothing is returned if two files of a folder would be
    the same then.
    """
    there, here = _keys(labels), _keys(images)
    return {name: there[key] for key, name in here.items() if key in there}


def _keys(names: Collection[str]) -> dict[tuple[str, ...], str]:
    words = {name: WORDS.findall(name.lower()) for name in names}
    if len(words) < FEWEST:
        return {}
    shared = set.intersection(*map(set, words.values()))
    keys = {
        tuple(w.lstrip('0') for w in some if w.isdecimal() or w not in shared): name
        for name, some in words.items()
    }
    return keys if len(keys) == len(words) and () not in keys else {}


def _folders(root: Path) -> Iterator[Path]:
    level = [root]
    for _ in range(DEPTH):
        level = [path for folder in level for path in directly_in(folder) if path.is_dir()][:MANY]
        yield from level


def _names(folder: Path) -> list[str]:
    return [p.stem for p in directly_in(folder) if p.suffix.lower() in SUFFIXES]


def _is_of_labels(folder: Path) -> bool:
    name = folder.name.lower()
    is_split = any(name in words for words in SPLITS.values())
    return bool(LABEL_WORDS.search(folder.parent.name.lower() if is_split else name))


def _split(root: Path, folder: Path) -> str:
    return split_of(folder.relative_to(root).as_posix()) or 'train'
