"""Shapes of instances in COCO's form, from any program; units are pixels."""

import math
from dataclasses import dataclass, field

import numpy as np
from pycocotools import mask as coco_mask

from backbones.data.files.numbers import is_number
from backbones.pixels import LARGEST

MARKS = ('truncated', 'occluded')  # of VOC's objects, which count like others
ARC = 36  # corners of the polygon that approximates an ellipse


@dataclass
class Records:
    """The images and annotations of a split in COCO's form, collected one by one.

    Args:
        classes: names in order; categories are numbered from 1.
    """

    classes: tuple[str, ...]
    images: list[dict] = field(default_factory=list)
    annotations: list[dict] = field(default_factory=list)

    def add_image(self, name: str, size: tuple[int, int] | None = None) -> int:
        """Add an image, with width and height if known, and return its id."""
        sides = dict(width=size[0], height=size[1]) if size else {}
        self.images.append(dict(sides, id=len(self.images) + 1, file_name=name))
        return len(self.images)

    def add(self, image: int, kind: str, shape: dict) -> None:
        """Add an instance: a class, and what `box`, `outline` or `encoded` returned."""
        ids = dict(id=len(self.annotations) + 1, image_id=image)
        category = self.classes.index(kind) + 1
        self.annotations.append(dict(ids, category_id=category, iscrowd=0, **shape))

    def as_coco(self) -> dict[str, list[dict]]:
        categories = [dict(id=i, name=name) for i, name in enumerate(self.classes, 1)]
        return dict(images=self.images, annotations=self.annotations, categories=categories)


def box(x: float, y: float, width: float, height: float) -> dict:
    """Return COCO's box and area."""
    return dict(bbox=[x, y, width, height], area=width * height)


def upright(bounds: list[float], image: dict) -> dict:
    """Return box and area of a rotated box's bounds, clipped to the image if its size is known."""
    x1, y1, x2, y2 = bounds[0], bounds[1], bounds[0] + bounds[2], bounds[1] + bounds[3]
    if is_number(image.get('width')) and is_number(image.get('height')):
        x1, x2 = (min(max(x, 0.0), image['width']) for x in (x1, x2))
        y1, y2 = (min(max(y, 0.0), image['height']) for y in (y1, y2))
    return box(x1, y1, x2 - x1, y2 - y1)


def outline(*polygons: list[float]) -> dict:
    """Return COCO's segmentation, box and area for polygons x1 y1 x2 y2 ..."""
    xs = [x for polygon in polygons for x in polygon[::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    bounds = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    return dict(segmentation=list(polygons), bbox=bounds, area=sum(map(_area, polygons)))


def _area(polygon: list[float]) -> float:
    xs, ys = polygon[::2], polygon[1::2]
    pairs = zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1])
    return abs(sum(x1 * y2 - x2 * y1 for x1, y1, x2, y2 in pairs)) / 2


def rectangle(x: float, y: float, width: float, height: float) -> list[float]:
    """Return the polygon of a box."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0) -> list[float]:
    """Return a polygon that approximates an ellipse with this centre and these radii.

    Args:
        angle: clockwise rotation about the centre, in radians.
    """
    steps = (2 * math.pi * i / ARC for i in range(ARC))
    return turned([v for a in steps for v in (x + rx * math.cos(a), y + ry * math.sin(a))], angle)


def turned(polygon: list[float], angle: float) -> list[float]:
    """Rotate a polygon clockwise about the centre of its bounds, by an angle in radians."""
    if not angle:
        return polygon
    xs, ys = polygon[::2], polygon[1::2]
    x, y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    c, s = math.cos(angle), math.sin(angle)
    return [v for px, py in zip(xs, ys) for v in (x + (px - x) * c - (py - y) * s,
                                                 y + (px - x) * s + (py - y) * c)]  # fmt: skip


def encoded(part: np.ndarray, left: int, top: int, size: tuple[int, int]) -> dict:
    """Return COCO's run-length code, box and area for a mask within an image.

    Args:
        part: (h, w) mask; what lies beyond the image is cut off.
        left, top: position of its first column and row in the image.
        size: the image's width and height.

    Raises:
        ValueError: the image is too large.
    """
    width, height = size
    if width * height > LARGEST:
        raise ValueError(f'the image is said to have {width}x{height} pixels')
    whole = np.zeros((height, width), np.uint8, order='F')
    rows, columns = slice(max(top, 0), top + part.shape[0]), slice(max(left, 0),
                                                                 left + part.shape[1])  # fmt: skip
    here = whole[rows, columns]
    inside = part[max(-top, 0) :, max(-left, 0) :][: here.shape[0], : here.shape[1]]
    whole[rows, columns] = inside.astype(bool)
    code = coco_mask.encode(whole)
    mask = dict(size=[height, width], counts=code['counts'].decode())
    bounds = [float(v) for v in coco_mask.toBbox(code)]
    return dict(segmentation=mask, bbox=bounds, area=float(coco_mask.area(code)))
