"""Pairing images and label maps whose names differ by words, like img_7.jpg and gt_0007.png."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from backbones.data.files.listing import SUFFIXES, directly_in
from backbones.data.files.split_names import SPLITS, split_of

LABEL_WORDS = re.compile(
    'mask|label|annot|segment|ground.?truth|(?<![a-z])(gt|target|seg)(?![a-z])'
)
WORDS = re.compile(r'\d+|[^\W\d_]+')
DEPTH, MANY = 3, 200  # levels of folders to look at, and folders on each level
MOST = 0.8  # share of the smaller folder's files that have a partner
FEWEST = 2  # files of a folder, so that all of them can share a word


def folders_of_splits(root: Path) -> dict[str, list[tuple[Path, Path]]]:
    """Return for each split the folders of images and of label maps that match, best first."""
    keys = {folder: key.keys() for folder in _folders(root) if (key := _keys(_names(folder)))}
    labels = [folder for folder in keys if is_of_labels(folder)]
    found: dict[str, list[tuple[float, Path, Path]]] = {}
    for images in keys.keys() - labels:
        for other in labels:
            split = _split(root, other)
            matched = len(keys[images] & keys[other])
            share = matched / min(len(keys[images]), len(keys[other]))
            if share >= MOST and split == _split(root, images):
                found.setdefault(split, []).append((-share, images, other))
    return {split: [pair[1:] for pair in sorted(some)] for split, some in found.items()}


def partners(images: Collection[str], labels: Collection[str]) -> dict[str, str]:
    """Map image names to label names that differ only in words that all names share.

    Leading zeros of a number do not count. Nothing is returned if two files of a folder would then
    have the same name.
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


def is_of_labels(folder: Path) -> bool:
    """Return whether the name of a folder, or of the one that has it as a split, says masks."""
    name = folder.name.lower()
    is_split = any(name in words for words in SPLITS.values())
    return bool(LABEL_WORDS.search(folder.parent.name.lower() if is_split else name))


def _split(root: Path, folder: Path) -> str:
    return split_of(folder.relative_to(root).as_posix()) or 'train'
