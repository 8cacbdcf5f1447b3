"""Statistics of a training split: sizes of images and boxes, pixels and thin parts of classes."""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbones.data.dataset import Dataset, Split
from backbones.data.files.images import DAMAGED
from backbones.data.files.label_mapping import IGNORED
from backbones.data.files.numbers import is_box, is_number
from backbones.data.files.parallel import in_parallel
from backbones.data.layouts.label_values import read_labels

MAPS = 200  # maximum number of label maps to read, spread evenly
PIXELS = 4_000_000  # approximate number of pixels of a label map to look at
CELLS = (4, 8, 16, 32)  # pixels of an image that one cell of the logits may cover


@dataclass
class BoxStatistics:
    """The boxes of the training images, without crowds and empty boxes.

    Args:
        images: (n, 2) widths and heights of the images, in pixels.
        boxes: (m, 2) widths and heights of the boxes, in pixels of their images.
        owners: (m,) index of each box's image.
        labels: (m,) class of each box, as an index of the dataset's classes.
    """

    images: np.ndarray
    boxes: np.ndarray
    owners: np.ndarray
    labels: np.ndarray

    def at(self, longest: int) -> np.ndarray:
        """Return the boxes if each image is scaled to this longer side: (m, 2)."""
        return self.boxes * (longest / self.images.max(1))[self.owners, None]


@dataclass
class LabelStatistics:
    """Label maps of the training images.

    Args:
        images: (n, 2) widths and heights of the images, in pixels.
        shares: (classes,) share of the labelled pixels.
        maps: (classes,) share of the label maps that have the class.
        reachable: side of a cell in pixels -> (classes,) IoU that maps with one class per cell
            reach; NaN for a class without pixels. Cells larger than all label maps are left out.
    """

    images: np.ndarray
    shares: np.ndarray
    maps: np.ndarray
    reachable: dict[int, np.ndarray]


def box_statistics(dataset: Dataset) -> BoxStatistics | None:
    """Measure the boxes of a checked dataset's training split; None if it has none."""
    split = dataset.splits['train']
    number = {name: i for i, name in enumerate(dataset.classes)}
    label_of = {c.get('id'): number.get(str(c.get('name'))) for c in split.records['categories']}
    sizes: list[tuple[int, int]] = []
    row_of: dict[object, int] = {}
    for entry in split.records['images']:
        if size := _size(split, entry):
            row_of[entry.get('id')] = len(sizes)
            sizes.append(size)
    boxes, owners, labels = [], [], []
    for annotation in split.records['annotations']:
        box, label = annotation.get('bbox'), label_of.get(_key(annotation, 'category_id'))
        row = row_of.get(_key(annotation, 'image_id'))
        if row is None or label is None or annotation.get('iscrowd'):
            continue
        if is_box(box) and min(box[2:]) > 0:
            boxes.append(box[2:])
            owners.append(row)
            labels.append(label)
    if not boxes:
        return None
    return BoxStatistics(*map(np.array, (sizes, boxes, owners, labels)))


def label_statistics(dataset: Dataset) -> LabelStatistics | None:
    """Measure the label maps of a checked dataset's training split; None if none has a class.

    At most `MAPS` are read.
    """
    split, classes = dataset.splits['train'], len(dataset.classes)
    sizes = [fact.size for fact in split.facts.values() if min(fact.size) > 0]
    paths = [label for _, label in split.pairs]
    paths = paths[:: -(-len(paths) // MAPS) or 1]

    def look(path: Path) -> tuple[np.ndarray, dict[int, np.ndarray]] | None:
        labels = _labels(path, dataset)
        if labels is None:
            return None
        labels = _thinned(labels)
        counts = np.bincount(labels[labels >= 0], minlength=classes)
        return counts, {cell: _overlaps(labels, cell, classes) for cell in CELLS}

    title = f'label maps of {split.name}'
    seen = [s for s in in_parallel(look, paths, title=title, progress=False) if s is not None]
    if not seen or not sizes:
        return None
    pixels = np.array([counts for counts, _ in seen])
    if not pixels.sum():
        return None
    reachable = {}
    for cell in CELLS:
        both, either = sum(overlaps[cell] for _, overlaps in seen)
        if either.any():  # some map is as large as a cell
            reachable[cell] = np.where(either > 0, both / np.maximum(either, 1), np.nan)
    if not reachable:
        return None
    shares = pixels.sum(0) / pixels.sum()
    return LabelStatistics(np.array(sizes), shares, (pixels > 0).mean(0), reachable)


def _size(split: Split, entry: dict) -> tuple[int, int] | None:
    fact = split.facts.get(split.images / str(entry.get('file_name')))
    if fact:
        return fact.size if min(fact.size) > 0 else None
    width, height = entry.get('width'), entry.get('height')
    if is_number(width) and is_number(height) and min(width, height) > 0:
        return int(width), int(height)
    return None


def _key(annotation: dict, name: str) -> Hashable:
    value = annotation.get(name)
    return value if isinstance(value, Hashable) else None


def _labels(path: Path, dataset: Dataset) -> np.ndarray | None:
    """Read a label map as the model sees it: classes from 0, and -1 for what is ignored."""
    try:
        labels = read_labels(path, dataset)
    except DAMAGED:  # the check has reported it
        return None
    if labels is None:
        return None
    labels[labels == IGNORED] = -1
    labels[(labels < 0) | (labels >= len(dataset.classes))] = -1
    return labels


def _thinned(labels: np.ndarray) -> np.ndarray:
    """Return evenly spread bands of a large label map, each as high as the largest cell."""
    height, band = len(labels), CELLS[-1]
    step = -(-labels.size // PIXELS)
    if step <= 1:
        return labels
    return (
        labels[: height // band * band]
        .reshape(-1, band, labels.shape[1])[::step]
        .reshape(-1, labels.shape[1])
    )


def _overlaps(labels: np.ndarray, cell: int, classes: int) -> np.ndarray:
    """Return each class's intersection and union with the map at one class per cell: (2, classes).

    A cell gets the class that most of its pixels have.
    """
    height, width = (side // cell * cell for side in labels.shape)
    if not height or not width:
        return np.zeros((2, classes))
    blocks = labels[:height, :width].reshape(height // cell, cell, width // cell, cell)
    parts = blocks.transpose(0, 2, 1, 3).reshape(-1, cell * cell)
    cells = np.arange(len(parts))[:, None] * (classes + 1)
    counts = np.bincount((parts + 1 + cells).ravel(), minlength=len(parts) * (classes + 1))
    counts = counts.reshape(-1, classes + 1)[:, 1:]  # without what is ignored
    most, labelled = counts.argmax(1), counts.sum(1)
    both = np.bincount(most, counts.max(1), minlength=classes)
    predicted = np.bincount(most, labelled, minlength=classes)
    return np.array([both, predicted + counts.sum(0) - both])
