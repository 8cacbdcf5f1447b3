"""Reading the VGG Image Annotator's JSON files, saved or exported: regions of each image."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.image_finder import ImageFinder
from backbones.data.files.listing import shallow, start_of
from backbones.data.files.numbers import is_number
from backbones.data.layouts import shapes
from backbones.data.layouts.coco import split_of_file
from backbones.data.layouts.collected import Collected
from backbones.data.layouts.json_files import content_of
from backbones.data.layouts.one_class import only_class

WORDS = ('class', 'label', 'name', 'category', 'type', 'object')  # attributes that name the class
OPEN = ('point', 'polyline')
NEAR = 0.05  # a polyline whose ends are nearer, relative to its diagonal, is an outline


def find(root: Path) -> list[Path]:
    """Return the annotator's files in a folder or directly below it."""
    return list(filter(_is_via, shallow(root, '.json')))


def _is_via(file: Path) -> bool:
    start = start_of(file)
    return '"regions"' in start and '"filename"' in start and '"asset"' not in start  # VoTT


def read(
    root: Path, files: list[Path], faults: Faults, *, classes: Sequence[str] = ()
) -> tuple[list[Split], tuple[str, ...]]:
    """Read all files; a file's name or folder tells its split.

    Rectangles are boxes; polygons, circles, ellipses and closed polylines are masks with boxes. The
    class is the value of the attribute with such a name, or of the one that all regions have;
    without attributes, all regions have the same class.

    Args:
        classes: names given by the user; one is enough for regions without attributes.

    Returns:
        Splits, and the classes that occur, sorted.
    """
    entries = {file: _load(file, faults) for file in files}
    regions = [r for some in entries.values() for entry in some for r in _regions(entry)]
    attribute = _attribute(regions, classes, files[0], faults)
    named = any(_attributes(region) for region in regions)
    only = only_class(classes, root, faults) if regions and not named else ''
    rest = only or (classes[0] if len(classes) == 1 else '')  # of regions without a class
    found = {_value(region, attribute) or rest for region in regions} - {''}
    masks = any(_kind(r) != 'rect' and not _is_open(r) for r in regions)
    collected = Collected(root, tuple(sorted(found)))
    finder = ImageFinder(root)
    seen: dict[Path, tuple[Path, list[dict]]] = {}
    for file, some in entries.items():
        _, records = collected.of(split_of_file(root, file) or 'train', file)
        for entry in some:
            name = entry['filename']
            path = finder.find(name, [file.parent])
            if path is None:
                kind, said = finder.lost(name)
                faults.add(kind, file, said, total=len(some))
                continue
            here = list(_regions(entry))
            first, before = seen.setdefault(path, (file, here))
            if first != file:
                if before != here:
                    faults.add('files-conflict', root, f'{first} and {file} both annotate {name}')
                continue
            number = records.add_image(path.relative_to(root).as_posix())
            for region in here:
                label = _value(region, attribute) or rest
                where = f'{name}: {str(region.get("shape_attributes"))[:60]}'
                if _is_open(region):
                    faults.add('shape-left-out', file, where)
                elif not label:
                    faults.add('unnamed-class', file, where)
                elif shape := _shape(region, masks=masks):
                    records.add(number, label, shape)
                else:
                    faults.add('broken-shape', file, where)
    return collected.splits(), collected.classes


def _load(file: Path, faults: Faults) -> list[dict]:
    """Return the entries of images; a project file has them below a separate key."""
    content = content_of(file, faults)
    if content is None:
        return []
    content = content.get('_via_img_metadata', content) if isinstance(content, dict) else {}
    entries = list(content.values()) if isinstance(content, dict) else content
    good = [e for e in entries if isinstance(e, dict) and isinstance(e.get('filename'), str)]
    if len(good) < len(entries) or not good:
        faults.add('wrong-structure', file, f'{len(entries) - len(good)} entries without image')
    return good


def _regions(entry: dict) -> Iterator[dict]:
    """Yield the regions, which are a list, or an object in version 1."""
    regions = entry.get('regions')
    regions = regions.values() if isinstance(regions, dict) else regions
    yield from (r for r in regions or () if isinstance(r, dict))


def _attributes(region: dict) -> dict[str, str]:
    """Return the attributes that have a single value: text, or one ticked box."""
    said = region.get('region_attributes')
    found = {}
    for key, value in said.items() if isinstance(said, dict) else ():
        if isinstance(value, dict):
            ticked = [name for name, yes in value.items() if yes]
            value = ticked[0] if len(ticked) == 1 else ''
        if str(value).strip():
            found[key] = str(value).strip()
    return found


def _value(region: dict, attribute: str) -> str:
    return _attributes(region).get(attribute, '')


def _attribute(regions: list[dict], classes: Sequence[str], file: Path, faults: Faults) -> str:
    """Return the attribute that names the class; '' if there is none."""
    count = Counter(key for region in regions for key in _attributes(region))
    if classes:
        wrong = {k for r in regions for k, v in _attributes(r).items() if v not in classes}
        count = Counter({key: n for key, n in count.items() if key not in wrong}) or count
    most = [key for key, n in count.items() if n == max(count.values())]
    named = [key for word in WORDS for key in count if word in key.lower()]
    told = ({a[key] for key in most if key in a} for a in map(_attributes, regions))
    if len(most) > 1 and not named and any(len(values) > 1 for values in told):
        shown = ', '.join(most)
        faults.add('wrong-structure', file, f'regions have the attributes {shown}: which of them '
                   'is the class? Call it class, or give --classes')  # fmt: skip
    return next((key for key in named if key in most), (most or [''])[0])


def _kind(region: dict) -> str:
    place = region.get('shape_attributes')
    return str(place.get('name')) if isinstance(place, dict) else ''


def _numbers(place: dict, *keys: str) -> list[float]:
    values = [place.get(key) for key in keys]
    return [float(value) for value in values if is_number(value)]


def _points(place: dict) -> list[tuple[float, float]]:
    xs, ys = place.get('all_points_x'), place.get('all_points_y')
    if not (isinstance(xs, list) and isinstance(ys, list) and all(map(is_number, xs + ys))):
        return []
    return list(zip(xs, ys))


def _is_open(region: dict) -> bool:
    """Return whether a region has no area; a polyline whose ends are near counts as an outline."""
    if _kind(region) != 'polyline':
        return _kind(region) in OPEN
    points = _points(region['shape_attributes'])
    if len(points) < 4:
        return True
    xs, ys = zip(*points)
    gap = math.dist(points[0], points[-1])
    return gap > NEAR * math.hypot(max(xs) - min(xs), max(ys) - min(ys))


def _shape(region: dict, *, masks: bool) -> dict | None:
    """Return a shape in COCO's form, None if it cannot be read."""
    place, kind = region.get('shape_attributes'), _kind(region)
    if not isinstance(place, dict):
        return None
    polygon = [v for point in _points(place) for v in point]
    if kind == 'rect':
        values = _numbers(place, 'x', 'y', 'width', 'height')
        if len(values) < 4:
            return None
        x, y, width, height = values
        if not masks:
            return shapes.box(x, y, width, height)
        polygon = shapes.rectangle(x, y, width, height)
    if kind in ('circle', 'ellipse'):
        radii = ('r', 'r') if kind == 'circle' else ('rx', 'ry')
        values = _numbers(place, 'cx', 'cy', *radii)
        if len(values) < 4:
            return None
        x, y, rx, ry = values
        angle = sum(_numbers(place, 'theta'))  # radians; none in version 1
        polygon = shapes.ellipse(x, y, rx, ry, angle)
    return shapes.outline(polygon) if len(polygon) >= 6 else None
