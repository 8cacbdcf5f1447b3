"""Dividing images into a part to train and a part to validate with, without touching a file."""

import warnings
import zlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from backbones.data.dataset import Dataset, Split
from backbones.data.images import ImageFacts, in_parallel, label_facts
from backbones.errors import UserError

SHARES = 0.02, 0.5
SIDE = 8  # of the differences that an image is told by
NEAR = 6  # of the 64 differences in which two views of one scene may differ
FOLDERS = 5  # of images; as many or more are taken for scenes


def split_off_validation(
    dataset: Dataset, share: float, *, seed: int = 0, progress: bool = False
) -> None:
    """Give a dataset that has only a training split a validation split, the same every time.

    Images that look alike, as frames of a video do, stay together; so do those of one folder where
    there are five folders or more. The classes are spread evenly, the rarest one of an image first.

    Args:
        dataset: is changed.
        share: of the images that validate, about: one of a whole number of equal parts.
        seed: another one gives another split.
        progress: show a progress bar on stderr.

    Raises:
        UserError: there is a validation split already, or nothing to divide; an impossible share.
    """
    low, high = SHARES
    if not low <= share <= high:
        raise UserError(f'--val is {share:g}; allowed: {low:g} to {high:g} of the images')
    if 'val' in dataset.splits or 'train' not in dataset.splits:
        raise UserError(
            f'--val divides the training images, but {dataset.root} has the splits '
            f'{", ".join(dataset.splits) or "none"}: leave --val out'
        )
    whole = dataset.splits['train']
    paths = whole.paths()
    groups = _groups(paths, whole.images, progress=progress)
    folds = round(1 / share)
    if len(set(groups)) < folds:
        raise UserError(
            f'--val {share:g} needs at least {folds} different images or folders, and '
            f'{whole.images} has {len(set(groups))}: add images, or raise --val'
        )
    folding = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of classes that are rarer than there are folds
        rarest = _rarest(whole, paths, progress=progress)
        train, val = next(folding.split(paths, rarest, groups))
    chosen = dict(train=train, val=val)
    parts = {name: _part(whole, name, [paths[i] for i in at]) for name, at in chosen.items()}
    dataset.splits = parts | {k: v for k, v in dataset.splits.items() if k not in parts}


def _part(whole: Split, name: str, paths: list[Path]) -> Split:
    """The images of a split that are listed, and their annotations."""
    wanted = set(paths)
    records: dict[str, list[dict]] = {}
    if whole.records:
        images = [e for e in whole.records['images'] if _path(whole, e) in wanted]
        ids = {entry.get('id') for entry in images if isinstance(entry.get('id'), Hashable)}
        annotations = [a for a in whole.records['annotations'] if _image_of(a) in ids]
        records = dict(whole.records, images=images, annotations=annotations)
    pairs = [pair for pair in whole.pairs if pair[0] in wanted]
    facts = {path: fact for path, fact in whole.facts.items() if path in wanted}
    return replace(whole, name=name, records=records, pairs=pairs, facts=facts, divided=True)


def _path(split: Split, entry: dict) -> Path | None:
    name = entry.get('file_name')
    return split.images / name if isinstance(name, str) else None


def _image_of(annotation: dict) -> object:
    image = annotation.get('image_id')
    return image if isinstance(image, Hashable) else None


def _rarest(split: Split, paths: list[Path], *, progress: bool) -> list[int]:
    """The rarest class of each image, by a number; -1 of an image without objects."""
    if split.pairs:
        look = partial(label_facts, decode=True)
        labels = [label for _, label in split.pairs]
        facts = in_parallel(look, labels, title='label maps', progress=progress)
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
    return [min(found[path], key=lambda kind: (counts[kind], kind), default=-1) for path in paths]


def _values(fact: ImageFacts) -> list[int]:
    """Return the values of a label map; none if it cannot be read, which the check reports."""
    return [] if fact.values is None else [int(value) for value in fact.values]


def _groups(paths: Sequence[Path], root: Path, *, progress: bool) -> list[int]:
    """A number for each image; those that have to stay together share it."""
    folders = [path.parent for path in paths]
    if len(set(folders)) >= FOLDERS:
        numbers = {folder: number for number, folder in enumerate(dict.fromkeys(folders))}
        return [numbers[folder] for folder in folders]
    told = in_parallel(_differences, paths, title=f'images of {root.name}', progress=progress)
    prints = np.array(told, np.uint8)
    groups = np.arange(len(paths))
    for i in range(len(paths)):  # an image joins all that look like it
        alike = (prints[i] != prints[:i]).sum(1) <= NEAR
        for other in set(groups[:i][alike].tolist()):
            groups[groups == other] = groups[i]
    return groups.tolist()


def _differences(path: Path) -> list[int]:
    """Whether each of 8 x 8 cells is brighter than its right neighbour: alike for like images."""
    try:
        with Image.open(path) as image:
            image.draft('L', (4 * SIDE, 4 * SIDE))
            small = image.convert('L').resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError):  # the check reports it
        bits = zlib.crc32(str(path).encode()) * 0x100000001  # unlike any other
        return [bits >> i & 1 for i in range(SIDE * SIDE)]
    cells = np.asarray(small, np.int16)
    return (cells[:, 1:] > cells[:, :-1]).ravel().astype(int).tolist()
