"""Reading Pascal VOC: one XML file per image, in `Annotations` or beside the image.

Corners count pixels from 1, as in the challenge's development kit and in `supervision`.
"""

import math
from pathlib import Path
from xml.etree.ElementTree import Element

from backbones.data.dataset import Split
from backbones.data.faults.faults import EXAMPLES, Faults
from backbones.data.files.listing import SUFFIXES, list_files, read_lines, start_of
from backbones.data.files.nearby_files import near
from backbones.data.files.numbers import size_of
from backbones.data.files.split_names import split_of
from backbones.data.layouts.cvat import is_cvat
from backbones.data.layouts.labelme_xml import is_labelme
from backbones.data.layouts.shapes import MARKS, outline
from backbones.data.layouts.voc_images import Images
from backbones.data.layouts.voc_masks import files_of_splits
from backbones.data.layouts.xml_files import root_of, texts_in

CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')
ROTATION = "attributes/attribute[name='rotation']"  # CVAT's rotation of a box about its centre
LOOKED_AT = 20  # XML files among which one must be VOC's


def find(root: Path) -> dict[str, list[Path]]:
    """Return the XML files of each split, by `ImageSets/Main`, by folder, or all as training."""
    lists = files_of_splits(root / 'ImageSets' / 'Main')
    if lists and list_files(root / 'Annotations', ('.xml',)):
        return {
            name: [_listed(root / 'Annotations', line) for line in read_lines(file)]
            for name, file in lists.items()
        }
    found: dict[str, list[Path]] = {}
    files = list_files(root, ('.xml',))
    ours = any('<annotation' in start_of(f) and not is_cvat(f) and not is_labelme(f)
               for f in files[:LOOKED_AT])  # fmt: skip
    for file in files if ours else ():
        parts = file.relative_to(root).parent.parts
        split = next(filter(None, map(split_of, parts)), 'train')
        found.setdefault(split, []).append(file)
    return dict(sorted(found.items(), key=lambda item: ('train', 'val', 'test').index(item[0])))


def _listed(folder: Path, line: str) -> Path:
    """Return the XML file of a line: an image's name, perhaps followed by a number."""
    for name in (line, line.split()[0]):
        file = Path(name)
        stem = name.removesuffix(file.suffix) if file.suffix.lower() in SUFFIXES else name
        if (folder / f'{stem}.xml').is_file():
            return folder / f'{stem}.xml'
    return folder / f'{line.split()[0]}.xml'


def read(
    root: Path, found: dict[str, list[Path]], faults: Faults
) -> tuple[list[Split], tuple[str, ...]]:
    """Read the XML files.

    Returns:
        Splits, and the class names that occur, sorted.
    """
    if 'test' in found and len(found) > 1 and not any(file.is_file() for file in found['test']):
        number = len(found.pop('test'))  # as in challenges with hidden answers
        faults.add('test-unannotated', root, f'{number} images')
    parsed = {name: _parse(files, faults) for name, files in found.items()}
    names = {
        obj.findtext('name', '').strip()
        for trees in parsed.values()
        for tree in trees.values()
        for obj in tree.iter('object')
    }
    classes = tuple(sorted(names - {''}))
    numbers = {name: i for i, name in enumerate(classes, 1)}
    images = Images(root, (file for trees in parsed.values() for file in trees), faults)
    splits = []
    for name, trees in parsed.items():
        split = Split(name, next((file.parent for file in trees), root), root, own_file=True)
        split.records = _records(split, trees, images, numbers, faults)
        splits.append(split)
    return splits, classes


def _parse(files: list[Path], faults: Faults) -> dict[Path, Element]:
    trees = {}
    for file in files:
        if not file.is_file():
            hint = near(file) if faults.count('missing-label') < EXAMPLES else ''
            faults.add('missing-label', file.parent, f'{file.name}{hint}')
            continue
        tree = root_of(file, faults)
        if tree is None:
            continue
        if tree.tag == 'annotation':
            trees[file] = tree
        else:
            hint = ', the format of CVAT' if tree.tag == 'annotations' else ''
            example = f'{file.name}: <{tree.tag}> instead of <annotation>{hint}'
            faults.add('wrong-structure', file.parent, example)
    return trees


def _records(
    split: Split,
    trees: dict[Path, Element],
    images: Images,
    numbers: dict[str, int],
    faults: Faults,
) -> dict[str, list[dict]]:
    entries: list[dict] = []
    annotations: list[dict] = []
    for file, tree in trees.items():
        here = images.of(file, *texts_in(tree, 'folder', 'filename'))
        if not here:
            faults.add('label-without-image', split.source, file.name)
            continue
        if len(here) > 1:
            both = ' and '.join(str(path.relative_to(split.images)) for path in here[:3])
            faults.add('ambiguous-image', split.source, f'{file.name} matches {both}')
            continue
        name = here[0].relative_to(split.images)
        entry = dict(id=len(entries) + 1, file_name=str(name))
        if size := size_of(*texts_in(tree, 'size/width', 'size/height')):
            entry |= dict(width=size[0], height=size[1])
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
    """Convert an object to COCO's form; None, with a fault added, if it is unusable."""
    name = obj.findtext('name', '').strip()
    if name not in numbers:
        faults.add('unknown-class', split.source, f'{name!r} in {file.name}')
        return None
    if twice := [tag for tag in ('name', 'bndbox', 'polygon') if len(obj.findall(tag)) > 1]:
        faults.add('wrong-structure', split.source, f'{file.name}: an object has two of {twice[0]}')
    points = obj.find('polygon')
    try:
        x1, y1, x2, y2 = _corners(obj)
        polygon = [float(point.text or '') - 1 for point in points] if points is not None else []
        degrees = [float(one.findtext('value', '')) for one in obj.iterfind(ROTATION)]
        degrees += [math.degrees(float(one.text or '')) for one in obj.iterfind('robndbox/angle')]
    except ValueError:
        faults.add('broken-box', split.source, f'{name!r} in {file.name}')
        return None
    # some programs count from 0: their first column would lie outside the image
    box = [max(x1 - 1, 0.0), max(y1 - 1, 0.0), x2 - max(x1 - 1, 0.0), y2 - max(y1 - 1, 0.0)]
    if x1 < 0 or y1 < 0:
        box = [x1, y1, x2 - x1, y2 - y1]
    difficult = _is_marked(obj, 'difficult')
    found = dict(category_id=numbers[name], bbox=box, area=box[2] * box[3], iscrowd=int(difficult))
    # neither learnt nor counted, as in the challenge
    marks = [*(['difficult'] if difficult else []), *(m for m in MARKS if _is_marked(obj, m))]
    found |= dict.fromkeys(marks, 1)
    if any(degrees):
        found['attributes'] = dict(rotation=sum(degrees))
    # the box stays the one in the file, and is compared with the mask
    return found | (outline(polygon) | dict(bbox=box) if len(polygon) >= 6 else {})


def _corners(obj: Element) -> tuple[float, ...]:
    """Return a box; that of roLabelImg, before it is turned about its centre, counts from 0."""
    if obj.find('robndbox') is None:
        return tuple(float(obj.findtext(f'bndbox/{corner}', '')) for corner in CORNERS)
    x, y, w, h = (float(obj.findtext(f'robndbox/{key}', '')) for key in ('cx', 'cy', 'w', 'h'))
    return x - w / 2 + 1, y - h / 2 + 1, x + w / 2, y + h / 2


def _is_marked(obj: Element, mark: str) -> bool:
    return (obj.findtext(mark) or '').strip().lower() in ('1', 'true', 'yes')
