"""Reading CVAT's XML, for images and video 1.1: boxes, polygons and masks in one file."""

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.image_finder import ImageFinder
from backbones.data.files.listing import shallow, start_of
from backbones.data.files.numbers import size_of
from backbones.data.files.split_names import split_of
from backbones.data.layouts import shapes
from backbones.data.layouts.collected import Collected
from backbones.data.layouts.cvat_tracks import as_images
from backbones.data.layouts.turned_boxes import degrees_of
from backbones.data.layouts.xml_files import root_of

LOOKED_AT = 20  # XML files to look at; all must be CVAT's
OPEN = ('points', 'polyline', 'skeleton', 'cuboid', 'tag')  # shapes without an area, or not flat
CLOSED = ('box', 'polygon', 'ellipse', 'mask')


def find(root: Path) -> list[Path]:
    """Return CVAT's XML files in a folder or directly below it."""
    files = shallow(root, '.xml')
    return files if files and all(map(is_cvat, files[:LOOKED_AT])) else []


def is_cvat(file: Path) -> bool:
    """Return whether the root of an XML file is CVAT's <annotations>, not VOC's <annotation>."""
    return '<annotations' in start_of(file)


def read(root: Path, files: list[Path], faults: Faults) -> tuple[list[Split], tuple[str, ...]]:
    """Read all files; a rotated box keeps its angle, for `turned_boxes`.

    The name of an image's subset tells its split, or else the file's folder or name.

    Returns:
        Splits, and the classes: the task's labels, in its order.
    """
    trees = {file: tree for file in files if (tree := root_of(file, faults)) is not None}
    trees = {file: as_images(tree, file, faults) if tree.find('track') is not None else tree
             for file, tree in trees.items()}  # fmt: skip
    listed = [label.findtext('name', '') for tree in trees.values() for label in tree.iter('label')
              if label.find('parent') is None and label.findtext('type') not in OPEN]  # fmt: skip
    tags = [shape for tree in trees.values() for shape in _shapes(tree)]
    used = sorted({shape.get('label', '') for shape in tags})
    known = [name for name in dict.fromkeys(listed) if name] or used
    classes = tuple(dict.fromkeys([*known, *filter(None, used)]))
    masks = any(shape.tag != 'box' for shape in tags)
    finder = ImageFinder(root)
    collected = Collected(root, classes)
    for file, tree in trees.items():
        for image in tree.iter('image'):
            words = (image.get('subset', ''), *file.relative_to(root).with_suffix('').parts)
            name = next(filter(None, map(split_of, words)), 'train')
            _, records = collected.of(name, file)
            said, subset = image.get('name', ''), image.get('subset', '')
            places = [file.parent / f for f in (f'images/{subset}', 'images', subset, '.')]
            path = finder.find(said, places)
            if path is None:
                kind, which = finder.lost(said)
                faults.add(kind, file, which)
                continue
            size = size_of(image.get('width', ''), image.get('height', ''))
            number = records.add_image(path.relative_to(root).as_posix(), size)
            for shape in image:
                _add(records, number, shape, (file, said, size), faults, masks=masks)
    return collected.splits(), classes


def _shapes(tree: Element) -> Iterator[Element]:
    for image in tree.iter('image'):
        yield from (shape for shape in image if shape.tag in CLOSED)


def _add(
    records: shapes.Records, number: int, shape: Element, place: tuple, faults: Faults,
    *, masks: bool,
) -> None:  # fmt: skip
    """Add a shape, or the fault that makes it unusable."""
    file, name, size = place
    label, where = shape.get('label', ''), f'{name}: a {shape.tag}'
    if shape.tag in OPEN:
        faults.add('shape-left-out', file, where)
        return
    if shape.tag not in CLOSED or not label:
        faults.add('broken-shape', file, f'{where} without a label' if not label else where)
        return
    try:
        made = _converted(shape, size)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        faults.add('broken-shape', file, f'{where}: {error}')
        return
    whole = masks or 'attributes' in made
    records.add(number, label, made if whole else shapes.box(*made['bbox']))


def _converted(shape: Element, size: tuple[int, int] | None) -> dict:
    said = shape.attrib
    if shape.tag == 'box':
        x1, y1, x2, y2 = (float(said[key]) for key in ('xtl', 'ytl', 'xbr', 'ybr'))
        degrees = float(said.get('rotation', 0))
        if not math.isfinite(degrees):
            raise ValueError(f'it is rotated by {degrees} degrees')
        made = shapes.outline(shapes.rectangle(x1, y1, x2 - x1, y2 - y1))
        box = shapes.box(*made['bbox']) | dict(attributes=dict(rotation=degrees))
        return box if degrees_of(box) else made
    if shape.tag == 'polygon':
        points = [float(v) for point in said['points'].split(';') for v in point.split(',')]
        if len(points) < 6 or len(points) % 2:
            raise ValueError(f'{len(points)} numbers')
        return shapes.outline(points)
    if shape.tag == 'ellipse':
        return shapes.outline(shapes.ellipse(*(float(said[k]) for k in ('cx', 'cy', 'rx', 'ry'))))
    runs = [int(run) for run in said['rle'].split(',')]
    left, top, width, height = (int(float(said[k])) for k in ('left', 'top', 'width', 'height'))
    if size is None or sum(runs) != width * height or width * height > size[0] * size[1]:
        raise ValueError(f'the runs add up to {sum(runs)}, not {width} * {height}')
    values = np.repeat(np.arange(len(runs)) % 2, runs)  # row by row, beginning with background
    return shapes.encoded(values.reshape(height, width), left, top, size)
