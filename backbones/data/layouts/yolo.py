"""Reading YOLO's `data.yaml`, with one text file of boxes or polygons per image.

The conversions of `supervision` stop at the first fault and turn polygons into bitmaps; these
functions report all faults and keep the polygons. A test compares the boxes.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.image_finder import ImageFinder, parts_of
from backbones.data.files.images import image_facts
from backbones.data.files.listing import SUFFIXES as IMAGES
from backbones.data.files.listing import list_images, read_lines
from backbones.data.files.parallel import in_parallel
from backbones.data.layouts.foreign import other_images
from backbones.data.layouts.shapes import box, outline, upright
from backbones.data.layouts.yolo_labels import (
    Labels,
    are_rotated,
    check_unused,
    keypoints_of,
    read_labels,
)
from backbones.data.layouts.yolo_names import (
    DATA,
    find_names,
    folders_of_splits,
    has_labels,
    settings,
)
from backbones.data.layouts.yolo_settings import (
    KEYS,
    SUFFIXES,
    check_lists,
    check_settings,
    keypoints_in,
    load,
    names_of,
    yaml_files,
)
from backbones.errors import listed

CACHED = '.npy'  # suffix of the copies that Ultralytics' cache='disk' leaves beside images
LONG = 4  # digits that no number of a class has


def find(root: Path) -> Path | None:
    """Return the file that names classes: a YAML file at the root, otherwise see `find_names`."""
    there = next((file for file in yaml_files(root) if 'names' in (load(file) or {})), None)
    return there or find_names(root)


def find_unnamed(root: Path) -> Path | None:
    """Return the folder itself if its images have labels, and there is no YAML file."""
    return root if not yaml_files(root) and has_labels(root) else None


def read(
    root: Path,
    file: Path,
    faults: Faults,
    *,
    decode: bool,
    progress: bool,
    enclosing_boxes: bool = False,
    given: Sequence[str] = (),
) -> tuple[list[Split], tuple[str, ...]]:
    """Read all splits, with boxes in pixels and polygons unchanged.

    Args:
        file: what `find` or `find_unnamed` returned.
        enclosing_boxes: use upright boxes around rotated ones.
        given: the names of `--classes`, for labels that no file names.

    Returns:
        Splits, and the classes in their order.
    """
    in_yaml = file.suffix.lower() in SUFFIXES
    content = (load(file) or {}) if in_yaml else settings(root, file)
    if not any(content.get(key) for keys in KEYS.values() for key in keys):
        content |= folders_of_splits(root)
    named = 'names' in content
    names = names_of(content['names'], file, faults) if named else []
    if named and str(content.get('nc', len(names))) != str(len(names)):
        where = 'nc' if in_yaml else f'classes in {DATA}'
        faults.add('class-count', file, f'{where} is {content["nc"]}, but there are {len(names)} '
                   'names')  # fmt: skip
    if named:
        check_lists(root, file, names, faults)
    check_settings(root, file, content, faults)
    shape = keypoints_in(content, file, faults)
    finder = ImageFinder(root)
    found: dict[str, tuple[Split, dict[Path, Labels]]] = {}
    for name, keys in KEYS.items():
        entry = next((content[key] for key in keys if content.get(key)), None)
        if entry is None:
            continue
        images = _images(finder, file, content, entry, faults, name=name)
        if not images and name == 'test':
            continue
        facts = in_parallel(
            lambda path: image_facts(path, decode=decode),
            images,
            title=f'images of {name}',
            progress=progress,
        )
        split = Split(name, file, root, own_file=True)
        split.facts = {fact.path: fact for fact in facts}
        found[name] = split, read_labels(split, root, faults)
    check_unused([*found.values()], root, faults)
    labels = [label for _, part in found.values() for label in part.values()]
    classes = names if named else [*given] or _by_number(labels, root, faults)
    keypoints = keypoints_of(labels, file, faults) if shape is None else math.prod(shape)
    looked_at = {p: fact for split, _ in found.values() for p, fact in split.facts.items()}
    every = {path: label for _, part in found.values() for path, label in part.items()}
    rotated = not keypoints and are_rotated(every, looked_at)
    for split, part in found.values():
        split.records = _records(split, part, classes, keypoints, faults)
        sizes = {image['id']: image for image in split.records['images']}
        for annotation in split.records['annotations'] if rotated else ():
            if enclosing_boxes:
                annotation |= upright(annotation['bbox'], sizes[annotation['image_id']])
                annotation.pop('segmentation', None)
            else:
                faults.add('rotated-box', split.source, f'annotation {annotation["id"]}')
    return [split for split, _ in found.values()], tuple(classes)


def _by_number(labels: list[Labels], root: Path, faults: Faults) -> list[str]:
    """Name the classes by their numbers, up to the highest one in the labels."""
    words = [line.split()[0] for each in labels for _, line in each.lines]
    highest = max((int(w) for w in words if w.isdecimal() and len(w) < LONG), default=-1)
    names = [f'class {number}' for number in range(highest + 1)]
    faults.add('unnamed-numbers', root, listed(names))
    return names


def _images(
    finder: ImageFinder, file: Path, content: dict, entry: object, faults: Faults, *, name: str
) -> list[Path]:
    """List the images of a split, from folders or from text files that list them."""
    images: list[Path] = []
    path = content.get('path')
    base = path if isinstance(path, Path) else None
    base = base or _first([file.parent], path if isinstance(path, str) else '.') or file.parent
    for part in entry if isinstance(entry, list) else [entry]:
        text = str(part)
        place = _first([base, file.parent], text) or _inside(file.parent, text)
        if place is None:
            kind = 'test-missing' if name == 'test' else 'missing-image'
            faults.add(kind, file, f'{text[:200]} does not exist')
        elif place.suffix.lower() in IMAGES:
            images.append(place)
        elif place.is_file():
            # relative to the list, or else to the dataset on another machine or in another program
            images += [
                _first([place.parent, base], line)
                or finder.find(line, [place.parent, base])
                or place.parent / line
                for line in read_lines(place)
            ]
        elif place.resolve() in file.parent.resolve().parents:  # perhaps the whole disk
            faults.add('wrong-yaml', file, f'{text[:200]} is a folder that contains the dataset')
        elif place.is_dir():
            images += (there := list_images(place))
            for other in () if there else other_images({place}):
                faults.add('unread-format', place, other.name)
        else:
            faults.add('missing-image', file, f'{text[:200]} is neither a folder nor a file')
    images = list(dict.fromkeys(Path(*image.parts) for image in images))
    drawn = {image.with_suffix('') for image in images if image.suffix != CACHED}
    return [i for i in images if i.suffix != CACHED or i.with_suffix('') not in drawn]


def _first(folders: list[Path], text: str) -> Path | None:
    """Resolve a path that is relative to one of the folders, perhaps written on Windows."""
    tries = [folder / name for name in (text, text.replace('\\', '/')) for folder in folders]
    return next((path for path in tries if os.path.exists(path)), None)


def _inside(folder: Path, text: str) -> Path | None:
    """Resolve ../train/images, or another machine's path, by its last parts in a folder."""
    parts = parts_of(text)
    tries = (folder.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((path for path in tries if os.path.exists(path)), None)


def _records(
    split: Split, labels: dict[Path, Labels], classes: list[str], keypoints: int, faults: Faults
) -> dict[str, list[dict]]:
    images: list[dict] = []
    annotations: list[dict] = []
    for number, (path, fact) in enumerate(split.facts.items(), 1):
        width, height = fact.size
        name = path.relative_to(split.images) if path.is_relative_to(split.images) else path
        images.append(dict(id=number, file_name=str(name), width=width, height=height))
        if path not in labels or fact.fault:
            continue
        for row, line in labels[path].lines:
            kind, found = annotation(line, fact.size, len(classes), keypoints)
            if kind:
                where = f'{labels[path].file.name} line {row}, {len(line.split())} values'
                faults.add(kind, split.source, f'{where}: {line[:60]}')
            if found:
                annotations.append(dict(found, id=len(annotations) + 1, image_id=number))
    categories = [dict(id=i, name=name) for i, name in enumerate(classes, 1)]
    return dict(images=images, annotations=annotations, categories=categories)


def annotation(
    line: str, size: tuple[int, int], classes: int, keypoints: int
) -> tuple[str, dict | None]:
    """Convert a line to COCO's form.

    Args:
        size: width and height of the image, pixels.
        classes: number of classes.
        keypoints: number of values in an object's keypoints, 0 if there are none.

    Returns:
        The kind of fault or '', and the annotation, None if the line is unusable.
    """
    try:
        label, *values = [float(word) for word in line.split()]
    except ValueError:
        return 'broken-box', None
    if label not in range(classes):
        return 'unknown-class', None
    kind = ''
    if keypoints and len(values) == 4 + keypoints:
        kind, values = 'keypoints-dropped', values[:4]
    if len(values) < 4 or not all(map(math.isfinite, values)):
        return 'broken-box', None
    if len(values) > 5 and (keypoints or len(values) % 2):  # neither a polygon nor these keypoints
        return 'broken-shape', None
    if max(values[:4]) > 2:
        return 'box-pixels', None
    width, height = size
    shared = dict(category_id=int(label) + 1, iscrowd=0)
    if len(values) == 5:
        kind, values = 'confidence-dropped', values[:4]
    if len(values) == 4:
        x, y, w, h = values
        found = box((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
        return kind, dict(shared, **found)
    polygon = [v * (height if i % 2 else width) for i, v in enumerate(values)]
    return kind, dict(shared, **outline(polygon))
