"""Reading Pascal VOC: one XML file for each image, in `Annotations` or beside the image.

Corners count pixels from 1, as in the development kit of the challenge and in `supervision`.
"""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import parse

from backbones.data.dataset import Split, split_of
from backbones.data.faults import Faults
from backbones.data.images import list_images, visible
from backbones.data.yolo import outline

CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')


def find(root: Path) -> dict[str, list[Path]]:
    """The XML files of each split: by `ImageSets/Main`, by folders, or all as training."""
    sets = root / 'ImageSets' / 'Main'
    lists = {name: sets / f'{name}.txt' for name in ('train', 'val', 'test')}
    if (root / 'Annotations').is_dir() and any(file.is_file() for file in lists.values()):
        return {
            name: [
                root / 'Annotations' / f'{line.split()[0]}.xml' for line in lines if line.strip()
            ]
            for name, file in lists.items()
            if file.is_file() and (lines := file.read_text().splitlines())
        }
    found: dict[str, list[Path]] = {}
    for file in sorted(visible(root.rglob('*.xml'))):
        parts = file.relative_to(root).parent.parts
        split = next(filter(None, map(split_of, parts)), 'train')
        found.setdefault(split, []).append(file)
    return dict(sorted(found.items(), key=lambda item: ('train', 'val', 'test').index(item[0])))


def read(
    root: Path, found: dict[str, list[Path]], faults: Faults
) -> tuple[list[Split], tuple[str, ...]]:
    """Read the XML files.

    Returns:
        Splits, and the names of classes that occur, sorted.
    """
    images: dict[str, list[Path]] = {}
    for path in list_images(root):
        images.setdefault(path.stem, []).append(path)
    parsed = {name: _parse(root, files, faults) for name, files in found.items()}
    names = {
        obj.findtext('name', '').strip()
        for trees in parsed.values()
        for tree in trees.values()
        for obj in tree.iter('object')
    }
    classes = tuple(sorted(names - {''}))
    numbers = {name: i for i, name in enumerate(classes, 1)}
    splits = []
    for name, trees in parsed.items():
        split = Split(name, next(iter(trees), root).parent, root)
        split.records = _records(split, trees, images, numbers, faults)
        splits.append(split)
    return splits, classes


def _parse(root: Path, files: list[Path], faults: Faults) -> dict[Path, Element]:
    trees = {}
    for file in files:
        if not file.is_file():
            faults.add('missing-label', file.parent, file.name)
            continue
        try:
            trees[file] = parse(file).getroot()
        except (ParseError, ValueError) as error:
            faults.add('broken-file', file.parent, f'{file.name}: {error}')
    return trees


def _records(
    split: Split,
    trees: dict[Path, Element],
    images: dict[str, list[Path]],
    numbers: dict[str, int],
    faults: Faults,
) -> dict[str, list[dict]]:
    entries: list[dict] = []
    annotations: list[dict] = []
    for file, tree in trees.items():
        here = images.get(file.stem) or images.get(Path(tree.findtext('filename', '')).stem)
        if not here:
            faults.add('label-without-image', split.source, file.name)
            continue
        image = max(here, key=lambda path: path.parent == file.parent)
        entry = dict(id=len(entries) + 1, file_name=str(image.relative_to(split.images)))
        for side in ('width', 'height'):
            text = tree.findtext(f'size/{side}', '')
            if text.strip().isdigit() and int(text):
                entry[side] = int(text)
        entries.append(entry)
        for obj in tree.iter('object'):
            found = _annotation(obj, file, split, numbers, faults)
            if found:
                annotations.append(dict(found, id=len(annotations) + 1, image_id=entry['id']))
    categories = [dict(id=number, name=name) for name, number in numbers.items()]
    return dict(images=entries, annotations=annotations, categories=categories)


def _annotation(
    obj: Element, file: Path, split: Split, numbers: dict[str, int], faults: Faults
) -> dict | None:
    """An object in COCO's form; None, and a fault noted, if it says nothing that can be used."""
    name = obj.findtext('name', '').strip()
    if name not in numbers:
        faults.add('unknown-class', split.source, f'{name!r} in {file.name}')
        return None
    points = obj.find('polygon')
    try:
        x1, y1, x2, y2 = (float(obj.findtext(f'bndbox/{corner}', '')) for corner in CORNERS)
        polygon = [float(point.text or '') - 1 for point in points] if points is not None else []
    except ValueError:
        faults.add('broken-box', split.source, f'{name!r} in {file.name}')
        return None
    # some programs count from 0: their first column would lie outside of the image
    box = [max(x1 - 1, 0.0), max(y1 - 1, 0.0), x2 - max(x1 - 1, 0.0), y2 - max(y1 - 1, 0.0)]
    if x1 < 0 or y1 < 0:
        box = [x1, y1, x2 - x1, y2 - y1]
    found = dict(category_id=numbers[name], bbox=box, area=box[2] * box[3], iscrowd=0)
    return found | (outline(polygon) if len(polygon) >= 6 else {})
