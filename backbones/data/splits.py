"""Dividing images into training and validation images, without touching a file."""

import warnings
import zlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from backbones.data.dataset import Dataset, Split
from backbones.data.files.images import ImageFacts, label_facts
from backbones.data.files.parallel import in_parallel
from backbones.errors import UserError

SHARES = 0.02, 0.5
SIDE = 8  # an image's fingerprint has 8 x 8 bits
NEAR = 6  # bits of 64 by which the fingerprints of two views of a scene may differ
AT_ONCE = 1 << 22  # comparisons of fingerprints
FOLDERS = 5  # at least so many folders of images are taken for scenes


def is_undivided(dataset: Dataset) -> bool:
    """Return whether there are images to train on, and none to validate."""
    return 'train' in dataset.splits and 'val' not in dataset.splits


def split_off_validation(
    dataset: Dataset, share: float, *, seed: int = 0, progress: bool = False
) -> None:
    """Give a dataset that has only a training split a validation split, the same every time.

    Images that look alike, like the frames of a video, stay together, and so do the images of one
    folder if there are five folders or more. Each image's rarest class is spread evenly.

    Args:
        dataset: will be changed.
        share: approximate share of validation images: one of a whole number of equal parts. There
            is at least one validation image, however few images there are.
        seed: another one gives another split.
        progress: show a progress bar on stderr.

    Raises:
        UserError: there is a validation split already, or nothing to divide, or a wrong `share`.
    """
    low, high = SHARES
    if not low <= share <= high:
        raise UserError(f'--val is {share:g}; allowed: {low:g} to {high:g} of the images')
    if not is_undivided(dataset):
        raise UserError(
            f'--val divides the training images, but {dataset.root} has the splits '
            f'{", ".join(dataset.splits) or "none"}: leave --val out'
        )
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second

    whole = dataset.splits['train']
    paths = whole.paths()
    groups = _groups(paths, whole.images, progress=progress)
    folds = min(round(1 / share), len(set(groups)))
    if folds < 2:
        raise UserError(
            f'--val needs two images or folders that differ, and {whole.images} has {folds}: add '
            'images, or a folder "val" of images and annotations'
        )
    in_colours = dataset.mapping is not None and dataset.mapping.in_colours
    folding = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about classes with fewer images than folds
        rarest = _rarest(whole, paths, folds, in_colours=in_colours, progress=progress)
        train, val = next(folding.split(paths, rarest, groups))
    chosen = dict(train=train, val=val)
    parts = {
        name: part_of_split(whole, name, [paths[i] for i in at]) for name, at in chosen.items()
    }
    dataset.splits = parts | {k: v for k, v in dataset.splits.items() if k not in parts}


def part_of_split(whole: Split, name: str, paths: list[Path]) -> Split:
    """Return the part of a split that has the listed images."""
    wanted = set(paths)
    records: dict[str, list[dict]] = {}
    if whole.records:
        images = [e for e in whole.records['images'] if _path(whole, e) in wanted]
        ids = {entry.get('id') for entry in images if isinstance(entry.get('id'), Hashable)}
        annotations = [a for a in whole.records['annotations'] if _image_of(a) in ids]
        records = dict(whole.records, images=images, annotations=annotations)
    pairs = [pair for pair in whole.pairs if pair[0] in wanted]
    facts = {path: fact for path, fact in whole.facts.items() if path in wanted}
    labels = {label: whole.label_facts[label] for _, label in pairs if label in whole.label_facts}
    return replace(whole, name=name, records=records, pairs=pairs, facts=facts,
                   label_facts=labels, own_file=True)  # fmt: skip


def _path(split: Split, entry: dict) -> Path | None:
    name = entry.get('file_name')
    return split.images / name if isinstance(name, str) else None


def _image_of(annotation: dict) -> object:
    image = annotation.get('image_id')
    return image if isinstance(image, Hashable) else None


def _rarest(
    split: Split, paths: list[Path], folds: int, *, in_colours: bool, progress: bool
) -> list[int]:
    """Return each image's rarest class as a number; -1 for an image without objects."""
    if split.pairs:
        look = partial(label_facts, decode=True, in_colours=in_colours)
        labels = [label for _, label in split.pairs]
        facts = in_parallel(look, labels, title='label maps', progress=progress)
        split.label_facts = dict(zip(labels, facts))  # the check needs them again
        found = {image: _values(fact) for (image, _), fact in zip(split.pairs, facts)}
    else:
        named = {e.get('id'): _path(split, e) for e in split.records['images']
                 if isinstance(e.get('id'), Hashable)}  # fmt: skip
        found = {path: [] for path in paths}
        for annotation in split.records['annotations']:
            path, kind = named.get(_image_of(annotation)), annotation.get('category_id')
            if path in found and isinstance(kind, int):
                found[path].append(kind)
    counts = Counter(kind for kinds in found.values() for kind in set(kinds))
    rarest = [min(found[path], key=lambda kind: (counts[kind], kind), default=-1) for path in paths]
    # the classes of very few images cannot be spread
    return rarest if max(Counter(rarest).values()) >= folds else [0] * len(rarest)


def _values(fact: ImageFacts) -> list[int]:
    """Return a label map's values; none if it cannot be read, which the check reports."""
    return [] if fact.values is None else [int(value) for value in fact.values]


def _groups(paths: Sequence[Path], root: Path, *, progress: bool) -> list[int]:
    """Return a number for each image; images that must stay together share it."""
    folders = [path.parent for path in paths]
    if len(set(folders)) >= FOLDERS:
        numbers = {folder: number for number, folder in enumerate(dict.fromkeys(folders))}
        return [numbers[folder] for folder in folders]
    told = in_parallel(_fingerprint, paths, title=f'images of {root.name}', progress=progress)
    return _alike(np.array(told, np.uint64)).tolist()


def _alike(prints: np.ndarray) -> np.ndarray:
    """Number fingerprints; those that differ little, directly or via others, share a number.

    All are compared with each other, some rows at a time: 10,000 take half a second.
    """
    unique, place = np.unique(prints, return_inverse=True)
    number, numbers = len(unique), np.arange(len(unique))
    step = max(1, AT_ONCE // number)
    for start in range(0, number, step):
        differ = np.bitwise_count(unique[start : start + step, None] ^ unique[None, start:])
        row, column = np.nonzero(differ <= NEAR)
        _, first = np.unique(numbers, return_index=True)  # one member of each group so far
        ends = (np.r_[row + start, np.arange(number)], np.r_[column + start, first[numbers]])
        edges = coo_array((np.ones(len(ends[0]), bool), ends), (number, number))
        numbers = connected_components(edges, directed=False)[1]
    return numbers[place]


def _fingerprint(path: Path) -> int:
    """Return 64 bits: whether each of 8 x 8 cells is brighter than its right neighbour."""
    try:
        with Image.open(path) as image:
            image.draft('L', (4 * SIDE, 4 * SIDE))
            small = image.convert('L').resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError):  # the check reports it
        return zlib.crc32(str(path).encode()) * 0x100000001  # unlike any other
    cells = np.asarray(small, np.int16)
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes())
