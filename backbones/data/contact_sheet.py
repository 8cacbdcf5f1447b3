"""Contact sheets: some images of each split with their labels drawn in."""

from pathlib import Path

import cv2
import numpy as np
import supervision as sv
from pycocotools import mask as coco_mask

from backbones.data.check_dataset import Report
from backbones.data.dataset import Dataset, Split
from backbones.data.files.numbers import is_box
from backbones.data.files.segmentations import has_mask
from backbones.data.layouts.label_values import read_labels
from backbones.drawing.captions import Picture, legend
from backbones.drawing.paint import Found, are_readable, paint
from backbones.drawing.palette import Classes
from backbones.drawing.pictures import save
from backbones.pixels import view

NUMBER = 16  # images on a sheet, spread over the split
COLUMNS = 4
SIDE = 320  # pixels of a tile
LETTERS = 13  # pixels


def draw(report: Report, folder: Path) -> list[Path]:
    """Write one PNG per split, with a legend of the class colours below.

    Returns:
        The files.
    """
    dataset = report.dataset
    masks = not any(fault.kind.startswith('mask') for fault in report.faults.found.values())
    classes = Classes(dict(classes=dataset.classes))
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, split in dataset.splits.items():
        good = [path for path, fact in split.facts.items() if not fact.fault]
        chosen = good[:: -(-len(good) // NUMBER) or 1]
        tiles = [_tile(path, split, dataset, classes, masks=masks) for path in chosen]
        if tiles:
            made.append(folder / f'{name}.png')
            key = [(name, classes.colours.by_idx(i)) for i, name in enumerate(classes.names)]
            sheet = np.vstack([_grid(tiles), legend(key, COLUMNS * SIDE, LETTERS)])
            save(made[-1], sheet[..., ::-1])
    return made


def _tile(path: Path, split: Split, dataset: Dataset, classes: Classes, *, masks: bool) -> Picture:
    """Draw an RGB image with its labels, scaled to fit a grey square."""
    image = view(path, (0, 1, 2) if dataset.channels else None)
    found: Found | None
    if dataset.detection:
        found = _instances(path, split, dataset, image.shape[:2] if masks else None)
    else:
        found = _labels(path, split, dataset)
    factor = SIDE / max(image.shape[:2])
    size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    letters = LETTERS if are_readable(small, found, classes, LETTERS) else None
    painted = paint(small, found, factor, classes, letters)
    tile = np.full((SIDE, SIDE, 3), 40, np.uint8)
    tile[: len(painted), : painted.shape[1]] = painted
    return tile


def _grid(tiles: list[np.ndarray]) -> np.ndarray:
    tiles = tiles + [np.full_like(tiles[0], 40)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def _instances(
    path: Path, split: Split, dataset: Dataset, size: tuple[int, ...] | None
) -> sv.Detections | None:
    """Return an image's annotations of the dataset's classes, with masks if `size` is given."""
    records = split.records
    ids = {e.get('id') for e in records['images'] if split.images / str(e.get('file_name')) == path}
    number = {name: i for i, name in enumerate(dataset.classes)}
    numbers = {
        c.get('id'): number[c['name']] for c in records['categories'] if c.get('name') in number
    }
    here = [
        a
        for a in records['annotations']
        if a.get('image_id') in ids and a.get('category_id') in numbers and is_box(a.get('bbox'))
    ]
    if not here:
        return None
    boxes = np.array([a['bbox'] for a in here], float)
    boxes[:, 2:] += boxes[:, :2]
    masks = None
    if size and all(map(has_mask, here)):
        masks = np.array([_mask(a['segmentation'], size) for a in here])
    found = [numbers[a['category_id']] for a in here]
    return sv.Detections(xyxy=boxes, class_id=np.array(found), mask=masks)


def _mask(segmentation: object, size: tuple[int, ...]) -> np.ndarray:
    height, width = size
    if isinstance(segmentation, list):
        codes = coco_mask.frPyObjects(segmentation, height, width)
        return coco_mask.decode(coco_mask.merge(codes)).astype(bool)
    assert isinstance(segmentation, dict)
    counts, (rows, columns) = segmentation['counts'], segmentation['size']
    if isinstance(counts, list):
        segmentation = coco_mask.frPyObjects(segmentation, rows, columns)
    mask = coco_mask.decode(segmentation)
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)


def _labels(path: Path, split: Split, dataset: Dataset) -> np.ndarray | None:
    """Return the label map of an image, None if it has a fault."""
    label = dict(split.pairs)[path]
    fact = split.label_facts.get(label)
    if fact is None or fact.fault or fact.size != split.facts[path].size:
        return None
    return read_labels(label, dataset)
