"""Reading YOLO's `data.yaml`, with one text file of boxes or polygons for each image.

The conversions of `supervision` stop at the first fault and turn polygons into bitmaps; this keeps
both the faults and the polygons. A test compares the boxes.
"""

import math
from pathlib import Path

import yaml

from backbones.data.dataset import Split
from backbones.data.faults import Faults
from backbones.data.images import ImageFacts, image_facts, in_parallel, list_images, visible

KEYS = {'train': ('train',), 'val': ('val', 'valid'), 'test': ('test',)}


def find(root: Path) -> Path | None:
    """The YAML file at the root that names classes and folders."""
    files = sorted(p for p in root.iterdir() if p.suffix in ('.yaml', '.yml'))
    return next((f for f in files if 'names' in (_load(f) or {})), None)


def hint(root: Path) -> str:
    """Why a YAML file at the root is not one of YOLO's; '' if there is none."""
    for file in sorted(p for p in root.iterdir() if p.suffix in ('.yaml', '.yml')):
        try:
            if not isinstance(yaml.safe_load(file.read_text(encoding='utf-8-sig')), dict):
                return f' {file.name} has no settings.'
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            return f' {file.name} cannot be read: {" ".join(str(error).split())}.'
        return f' {file.name} has no "names" of classes.'
    return ''


def _load(file: Path) -> dict | None:
    try:
        content = yaml.safe_load(file.read_text(encoding='utf-8-sig'))
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    return content if isinstance(content, dict) else None


def read(
    root: Path, file: Path, faults: Faults, *, decode: bool, progress: bool
) -> tuple[list[Split], tuple[str, ...]]:
    """Read all splits, with boxes in pixels and polygons as they are.

    Returns:
        Splits, and the classes in their order.
    """
    content = _load(file) or {}
    classes = _names(content['names'], file, faults)
    if content.get('nc', len(classes)) != len(classes):
        faults.add('class-count', file, f'nc is {content["nc"]}, names has {len(classes)}')
    keypoints = math.prod(content['kpt_shape']) if content.get('kpt_shape') else 0
    splits = []
    for name, keys in KEYS.items():
        entry = next((content[key] for key in keys if content.get(key)), None)
        if entry is None:
            continue
        images = _images(file, content, entry, faults)
        facts = in_parallel(
            lambda path: image_facts(path, decode=decode),
            images,
            title=f'images of {name}',
            progress=progress,
        )
        split = Split(name, _label_file(images[0]).parent if images else file, root)
        split.facts = {fact.path: fact for fact in facts}
        split.records = _records(split, classes, keypoints, faults)
        splits.append(split)
    return splits, tuple(classes)


def _names(names: object, file: Path, faults: Faults) -> list[str]:
    if isinstance(names, dict):
        if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
            shown = ', '.join(map(str, names))
            faults.add('class-count', file, f'names has the numbers {shown[:40]}, not 0 to '
                       f'{len(names) - 1}')  # fmt: skip
            return []
        names = [names[key] for key in sorted(names, key=int)]
    for name in names if isinstance(names, list) else ():
        if name is None or isinstance(name, bool):  # YAML reads no, yes, on and off so
            faults.add('unnamed-class', file, f'names has {name!r}; write it in quotes')
    return [str(name) for name in names] if isinstance(names, list) else []


def _images(file: Path, content: dict, entry: object, faults: Faults) -> list[Path]:
    """The images of a split: of a folder, of a text file that lists them, or of several such."""
    images: list[Path] = []
    for part in entry if isinstance(entry, list) else [entry]:
        tries = [file.parent / (content.get('path') or '.') / str(part), file.parent / str(part)]
        # exports for notebooks write ../train/images beside train
        tries += [file.parent / str(part).removeprefix('../')]
        place = next((t for t in tries if t.exists()), None)
        if place is None:
            faults.add('missing-image', file, f'{part} does not exist')
        elif place.is_file():
            lines = filter(None, map(str.strip, place.read_text().splitlines()))
            images += [place.parent / line for line in lines]
        else:
            images += list_images(place)
    return [Path(*image.parts) for image in images]


def _label_file(image: Path) -> Path:
    """images/train/a.jpg -> labels/train/a.txt."""
    parts = list(image.parts)
    for i in reversed(range(len(parts) - 1)):
        if parts[i] == 'images':
            parts[i] = 'labels'
            break
    return Path(*parts).with_suffix('.txt')


def _records(
    split: Split, classes: list[str], keypoints: int, faults: Faults
) -> dict[str, list[dict]]:
    images: list[dict] = []
    annotations: list[dict] = []
    expected = set()
    for number, (path, fact) in enumerate(split.facts.items(), 1):
        width, height = fact.size
        name = path.relative_to(split.images) if path.is_relative_to(split.images) else path
        images.append(dict(id=number, file_name=str(name), width=width, height=height))
        file = _label_file(path)
        if file in expected:
            faults.add('ambiguous-name', split.source, f'{name} and another have {file.name}')
        expected.add(file)
        if not file.is_file() or fact.fault:
            continue
        lines = file.read_text(encoding='utf-8-sig', errors='replace').splitlines()
        for row, line in enumerate(filter(str.strip, lines), 1):
            where = f'{file.name} line {row}: {line.strip()[:60]}'
            found = _annotation(line, fact, len(classes), keypoints, where, split, faults)
            if found:
                annotations.append(dict(found, id=len(annotations) + 1, image_id=number))
    for folder in sorted({file.parent for file in expected}):
        for file in sorted(set(visible(folder.glob('*.txt'))) - expected):
            if file.name != 'classes.txt':
                faults.add('label-without-image', folder, file.name)
    categories = [dict(id=i, name=name) for i, name in enumerate(classes, 1)]
    return dict(images=images, annotations=annotations, categories=categories)


def _annotation(
    line: str,
    fact: ImageFacts,
    classes: int,
    keypoints: int,
    where: str,
    split: Split,
    faults: Faults,
) -> dict | None:
    """A line in COCO's form; None, and a fault noted, if it says nothing that can be used."""
    try:
        label, *values = [float(word) for word in line.split()]
    except ValueError:
        faults.add('broken-box', split.source, where)
        return None
    if label not in range(classes):
        faults.add('unknown-class', split.source, f'{where}; {classes} classes, from 0')
        return None
    if keypoints and len(values) == 4 + keypoints:
        faults.add('keypoints-dropped', split.source, where)
        values = values[:4]
    if len(values) < 4 or not all(map(math.isfinite, values)):
        faults.add('broken-box', split.source, where)
        return None
    values = values if len(values) in (4, 5) else values[: len(values) // 2 * 2]
    if max(values[:4]) > 2:
        faults.add('box-pixels', split.source, where)
        return None
    width, height = fact.size
    if len(values) in (4, 5):  # the fifth is a confidence
        x, y, w, h = values[:4]
        box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
        return dict(category_id=int(label) + 1, bbox=box, area=box[2] * box[3], iscrowd=0)
    polygon = [v * (height if i % 2 else width) for i, v in enumerate(values)]
    return dict(category_id=int(label) + 1, iscrowd=0, **outline(polygon))


def outline(polygon: list[float]) -> dict:
    """Segmentation, box and area in COCO's form of one polygon x1 y1 x2 y2 ..., in pixels."""
    xs, ys = polygon[::2], polygon[1::2]
    pairs = zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1])
    area = abs(sum(x1 * y2 - x2 * y1 for x1, y1, x2, y2 in pairs)) / 2
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    return dict(segmentation=[polygon], bbox=box, area=area)
