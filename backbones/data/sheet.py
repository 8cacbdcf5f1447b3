"""Contact sheets: some images of each split with their labels drawn."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import supervision as sv
from PIL import Image
from pycocotools import mask as coco_mask

from backbones.data.check import Report
from backbones.data.dataset import Dataset, Split
from backbones.data.instances import is_box
from backbones.data.labels import IGNORED

Picture = npt.NDArray[np.uint8]
NUMBER = 16  # images on a sheet, spread over the split
COLUMNS = 4
SIDE = 320  # pixels of a tile


def draw(report: Report, folder: Path) -> list[Path]:
    """Write one PNG for each split.

    Returns:
        The files.
    """
    dataset = report.dataset
    masks = not any(fault.kind.startswith('mask') for fault in report.faults.found.values())
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, split in dataset.splits.items():
        good = [path for path, fact in split.facts.items() if not fact.fault]
        chosen = good[:: -(-len(good) // NUMBER) or 1]
        tiles = [_tile(_labelled(path, split, dataset, masks=masks)) for path in chosen]
        if tiles:
            made.append(folder / f'{name}.png')
            cv2.imwrite(str(made[-1]), _grid(tiles))
    return made


def _tile(image: np.ndarray) -> np.ndarray:
    """Fit an image into a square, on grey."""
    factor = SIDE / max(image.shape[:2])
    size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    tile = np.full((SIDE, SIDE, 3), 40, np.uint8)
    tile[: image.shape[0], : image.shape[1]] = image
    return tile


def _grid(tiles: list[np.ndarray]) -> np.ndarray:
    tiles = tiles + [np.full_like(tiles[0], 40)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def _labelled(path: Path, split: Split, dataset: Dataset, *, masks: bool) -> Picture:
    image: Picture = np.asarray(cv2.imread(str(path)), np.uint8)
    if not dataset.detection:
        return _painted(image, dict(split.pairs)[path], split)
    factor = max(1, SIDE // max(image.shape[:2]))  # labels on thumbnails could not be read
    image = image.repeat(factor, 0).repeat(factor, 1)
    found, names = _detections(path, split, factor, image.shape[:2] if masks else None)
    if not len(found):
        return image
    scale = max(image.shape[:2]) / SIDE
    if found.mask is not None:
        image = sv.MaskAnnotator(opacity=0.4).annotate(image, found)
    image = sv.BoxAnnotator(thickness=max(1, round(2 * scale))).annotate(image, found)
    label = sv.LabelAnnotator(text_scale=0.4 * scale, text_padding=round(2 * scale))
    return label.annotate(image, found, labels=names)


def _detections(
    path: Path, split: Split, factor: int, size: tuple[int, ...] | None
) -> tuple[sv.Detections, list[str]]:
    records = split.records
    ids = {e.get('id') for e in records['images'] if split.images / str(e.get('file_name')) == path}
    numbers = {c.get('id'): i for i, c in enumerate(records['categories'])}
    here = [
        a
        for a in records['annotations']
        if a.get('image_id') in ids and a.get('category_id') in numbers and is_box(a.get('bbox'))
    ]
    if not here:
        return sv.Detections.empty(), []
    boxes = np.array([a['bbox'] for a in here], float) * factor
    boxes[:, 2:] += boxes[:, :2]
    masks = None
    if size and all(a.get('segmentation') for a in here):
        masks = np.array([_mask(a['segmentation'], factor, size) for a in here])
    classes = [numbers[a['category_id']] for a in here]
    names = [str(records['categories'][i].get('name')) for i in classes]
    return sv.Detections(xyxy=boxes, class_id=np.array(classes), mask=masks), names


def _mask(segmentation: object, factor: int, size: tuple[int, ...]) -> np.ndarray:
    height, width = size
    if isinstance(segmentation, list):
        segmentation = [[v * factor for v in polygon] for polygon in segmentation]
        codes = coco_mask.frPyObjects(segmentation, height, width)
        return coco_mask.decode(coco_mask.merge(codes)).astype(bool)
    assert isinstance(segmentation, dict)
    counts, (rows, columns) = segmentation['counts'], segmentation['size']
    if isinstance(counts, list):
        segmentation = coco_mask.frPyObjects(segmentation, rows, columns)
    mask = coco_mask.decode(segmentation)
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)


def _painted(image: Picture, label: Path, split: Split) -> Picture:
    """Blend a label map into its image; class 0 and "ignore" stay as they are."""
    fact = split.label_facts.get(label)
    if fact is None or fact.fault or fact.size != image.shape[1::-1]:
        return image
    labels = np.asarray(Image.open(label))
    if labels.ndim > 2:
        return image
    colours = np.array([c.as_bgr() for c in sv.ColorPalette.DEFAULT.colors], np.uint8)
    shown = (labels > 0) & (labels != IGNORED)
    blended = cv2.addWeighted(image, 0.5, colours[labels.astype(int) % len(colours)], 0.5, 0)
    return np.where(shown[..., None], blended, image)
