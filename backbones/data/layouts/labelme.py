"""Reading labelme: one JSON file of shapes per image, beside it or in separate folders."""

import base64
import binascii
import io
import json
import math
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.image_finder import ImageFinder
from backbones.data.files.images import DAMAGED
from backbones.data.files.listing import SUFFIXES, list_files, start_of
from backbones.data.files.parallel import in_parallel
from backbones.data.files.split_names import split_of
from backbones.data.layouts import shapes
from backbones.data.layouts.collected import Collected
from backbones.data.layouts.embedded_image import contradiction
from backbones.data.layouts.json_files import UNREADABLE
from backbones.data.layouts.label_names import NOT_LEARNT

LOOKED_AT = 20  # JSON files among which one must be labelme's
OPEN = ('point', 'points', 'line', 'linestrip')  # shapes without an area
TURNED, ENCLOSED = 'rotation', 'enclosed rotation'  # X-AnyLabeling's, and what it becomes
UPRIGHT = ('rectangle', ENCLOSED)


def find(root: Path) -> list[Path]:
    """Return the JSON files of the folder, if they are labelme's."""
    files = list_files(root, ('.json',))
    return files if any(map(_is_labelme, islice(files, LOOKED_AT))) else []


def _is_labelme(file: Path) -> bool:
    start = start_of(file)
    if '"shapes"' not in start and '"imageData"' in start:  # long, and may come first
        return '"shapes"' in file.read_text(encoding='utf-8', errors='replace')
    return '"shapes"' in start


def read(
    root: Path, files: list[Path], faults: Faults, *, enclosing_boxes: bool
) -> tuple[list[Split], tuple[str, ...]]:
    """Read all files; those below a folder `val` or `test` belong to that split.

    Rectangles are boxes, other closed shapes are masks with boxes; shapes of one label and group
    are one instance. Points and lines have no area and are left out.

    Args:
        enclosing_boxes: use upright boxes around rotated ones, which X-AnyLabeling draws.

    Returns:
        Splits, and the labels that occur, sorted.
    """
    finder = ImageFinder(root)
    load = partial(_load, finder=finder)
    read_files = {}
    for file, (found, kind, said) in zip(
        files, in_parallel(load, files, title='labelme', progress=False)
    ):
        if kind:
            faults.add(kind, file.parent, f'{file.name}: {said}')
        if found:
            read_files[file] = found
            _turn(file, found, faults, enclosing=enclosing_boxes)
    labels = {shape['label'] for found in read_files.values() for shape in _closed(found)}
    classes = tuple(sorted(labels))
    masks = any(s.get('shape_type', 'polygon') not in UPRIGHT
                for found in read_files.values() for s in _closed(found))  # fmt: skip
    collected = Collected(root, classes)
    for file, found in read_files.items():
        inside = file.relative_to(root).parent.parts
        name = next(filter(None, map(split_of, inside)), 'train')
        split, records = collected.of(name, file.parent)
        image, own = _image(file, found, finder), finder.beside(file)
        if image is None:
            faults.add('label-without-image', split.source, file.name)
            continue
        if own and own.stem != image.stem:
            both = f'{file.name} names {image.name} and is called like {own.name}'
            faults.add('ambiguous-image', split.source, both)
            continue
        size = _size(found)
        number = records.add_image(image.relative_to(root).as_posix(), size)
        for label, shape in _instances(file, found, size, faults, masks=masks):
            records.add(number, label, shape)
    return collected.splits(), classes


def _load(file: Path, finder: ImageFinder) -> tuple[dict | None, str, str]:
    """Return the content without the embedded image, and the kind and details of a fault."""
    try:
        content = json.loads(file.read_text(encoding='utf-8-sig'))
    except UNREADABLE as error:
        return None, 'broken-file', str(error)
    if not isinstance(content, dict) or not isinstance(content.get('shapes'), list):
        return None, 'wrong-structure', 'no list "shapes"'
    embedded, image = content.pop('imageData', None), _image(file, content, finder)
    if image and (said := contradiction(embedded, image)):
        return content, 'embedded-image', f'the embedded image {said}'
    return content, '', ''


def _turn(file: Path, content: dict, faults: Faults, *, enclosing: bool) -> None:
    for number, shape in enumerate(content['shapes'], 1):
        if isinstance(shape, dict) and shape.get('shape_type') == TURNED:
            if enclosing:
                shape['shape_type'] = ENCLOSED
            else:
                faults.add('rotated-box', file.parent, f'{file.name}: shape {number}')


def _closed(content: dict) -> Iterator[dict]:
    """Yield the shapes that have a label and an area."""
    for shape in content['shapes']:
        if _is_labelled(shape) and shape.get('shape_type') not in OPEN:
            yield shape


def _is_labelled(shape: object) -> bool:
    label = shape.get('label') if isinstance(shape, dict) else None
    return isinstance(label, str) and bool(label.strip()) and label != NOT_LEARNT


def _size(content: dict) -> tuple[int, int] | None:
    width, height = content.get('imageWidth'), content.get('imageHeight')
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None


def _image(file: Path, content: dict, finder: ImageFinder) -> Path | None:
    """Return the image that a file names, or else the one beside it with the same name."""
    said = content.get('imagePath')
    if isinstance(said, str) and said:
        beside = file.parent / said.replace('\\', '/')
        is_image = beside.suffix.lower() in SUFFIXES and beside.is_file()
        if is_image and beside.resolve().is_relative_to(finder.root.resolve()):
            return finder.root / beside.resolve().relative_to(finder.root.resolve())
    if found := finder.beside(file):
        return found
    if isinstance(said, str) and said:
        return finder.find(said, [file.parent])
    return finder.called(file.stem)


def _instances(
    file: Path, content: dict, size: tuple[int, int] | None, faults: Faults, *, masks: bool
) -> Iterator[tuple[str, dict]]:
    """Yield label and shape in COCO's form; what cannot be read is a fault."""
    upright: set[tuple[str, object]] = set()
    groups: dict[tuple[str, object], list[list[float] | dict]] = {}
    for number, shape in enumerate(content['shapes'], 1):
        where = f'{file.name}: shape {number}'
        kind = str(shape.get('shape_type') or 'polygon') if isinstance(shape, dict) else 'shape'
        ignored = isinstance(shape, dict) and shape.get('label') == NOT_LEARNT
        if kind in OPEN or ignored:
            what = NOT_LEARNT if ignored else f'a {kind}'
            faults.add('shape-left-out', file.parent, f'{where}, {what}')
            continue
        if not _is_labelled(shape):
            faults.add('unnamed-class', file.parent, where)
            continue
        try:
            made = _converted(shape, kind, size)
        except (*DAMAGED, binascii.Error, Image.DecompressionBombError) as error:
            faults.add('broken-shape', file.parent, f'{where}, a {kind}: {error}')
            continue
        group = shape.get('group_id')
        key = (shape['label'], number if group is None else f'group {group}')
        groups.setdefault(key, []).append(made)
        upright |= {key} if kind in UPRIGHT else set()
    for (label, group), parts in groups.items():
        if len(parts) > 1 and (label, group) in upright:
            faults.add('boxes-joined', file.parent, f'{file.name}: {len(parts)} {label}, {group}')
        yield from ((label, part) for part in parts if isinstance(part, dict))
        if polygons := [part for part in parts if isinstance(part, list)]:
            outline = shapes.outline(*polygons)
            yield label, outline if masks else shapes.box(*outline['bbox'])


def _converted(shape: dict, kind: str, size: tuple[int, int] | None) -> list[float] | dict:
    """Return a polygon, or a mask in COCO's form."""
    points = [(float(x), float(y)) for x, y in shape['points']]
    if not all(math.isfinite(v) for point in points for v in point):
        raise ValueError('points are not finite')
    flat = [v for point in points for v in point]
    if kind in UPRIGHT:
        bounds = shapes.outline(flat)['bbox']
        if kind == ENCLOSED:
            bounds = shapes.upright(bounds, dict(zip(('width', 'height'), size or ())))['bbox']
        return shapes.rectangle(*bounds)
    if kind == 'circle':
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return shapes.ellipse(x, y, radius, radius)
    if kind == 'mask':
        if size is None:
            raise ValueError('the file does not give the size of the image')
        part = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape['mask']))))
        left, top = map(round, points[0])
        return shapes.encoded(part, left, top, size)
    if len(points) < 3:
        raise ValueError(f'{len(points)} points')
    return flat
