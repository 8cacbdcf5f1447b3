"""Reading COCO JSON files in `annotations`, beside the images of each split, or at the root."""

import codecs
import json
import os
import re
from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.image_finder import ImageFinder, relocate, there
from backbones.data.files.listing import start_of
from backbones.data.files.numbers import LARGEST_ID, is_id
from backbones.data.files.split_names import split_of
from backbones.data.layouts.coco_join import join
from backbones.data.layouts.foreign import json_sign

PARTS = ('images', 'annotations', 'categories')
NAMES = {'id', 'image_id', 'category_id', 'name', 'file_name'}  # single values
NUMBERS = {
    'images': ('id', 'width', 'height'),
    'annotations': ('id', 'image_id', 'category_id', 'area', 'iscrowd'),
    'categories': ('id',),
}
LOOKED_AT = 50  # file names by which the folder of images is found
MANY = 20  # if a folder has more JSON files, the first 20 must look like COCO's


def find(root: Path) -> dict[str, list[Path]]:
    """Return the annotation files of each split, empty if this is not a COCO dataset."""
    files: list[Path] = []
    for folder in (root / 'annotations', root, *sorted(filter(_is_part, root.iterdir()))):
        here = sorted(f for f in folder.glob('*.json') if f.is_file())
        if len(here) <= MANY or all(map(_may_be_coco, here[:MANY])):
            files += here
    files = list(dict.fromkeys(f for f in files if _may_be_coco(f)))
    instances = [f for f in files if 'instances' in f.name]
    found: dict[str, list[Path]] = {}
    for file in [*instances, *_tests(root, files)] if instances else files:
        found.setdefault(split_of_file(root, file) or 'train', []).append(file)
    return found


def _is_part(folder: Path) -> bool:
    """Return whether it is a folder, and not one that `new_config` writes beside a config."""
    config = folder.with_name(f'{folder.name}.py')  # or a program called train.py, say
    return folder.is_dir() and '_base_ = ' not in start_of(config)


def _tests(root: Path, files: list[Path]) -> list[Path]:
    """Return the lists of test images that COCO provides beside instances_*.json."""
    lists = [file for file in files if file.name.startswith('image_info')]
    return [file for file in lists if split_of_file(root, file) == 'test']


def split_of_file(root: Path, file: Path) -> str | None:
    """Return a file's split by its name or its folder's; the root's name does not count."""
    inside = split_of(file.parent.name) if file.parent != root else None
    return split_of(file.stem) or inside


def _may_be_coco(file: Path) -> bool:
    start = start_of(file)
    parts = re.search(r'"(images|annotations)"\s*:', start) is not None
    return not start.strip() or (parts and not json_sign(file))


def read(
    root: Path, found: dict[str, list[Path]], faults: Faults
) -> tuple[list[Split], tuple[str, ...]]:
    """Read the annotation files; a file that cannot be read is a fault.

    Several files of a split are joined. Images in another folder than their names say are found,
    and ids that start at 0 are renumbered from 1; a corrected file is then written for the config.

    Returns:
        Splits, and the names of the training split's categories in the file's order.
    """
    for file in _not_taken(root, found):
        read_json(file, faults)
    finder = ImageFinder(root)
    parts = [[_part(root, name, file, faults) for file in files] for name, files in found.items()]
    every = [part for some in parts for part in some]
    taken = {path for part in every for path in there(part.records['images'], part.images)}
    for part in every:
        _relocate(part, root, finder, taken, faults)
        part.own_file |= _count_from_one(part.records)
    splits = [some[0] if len(some) == 1 else join(some, root, faults) for some in parts]
    return splits, _categories(splits)


def _categories(splits: list[Split]) -> tuple[str, ...]:
    by_name = {split.name: split for split in splits}
    train = by_name.get('train') or splits[0]
    names = [str(c['name']) for c in train.records['categories'] if c.get('name')]
    return tuple(dict.fromkeys(names))


def _part(root: Path, name: str, file: Path, faults: Faults) -> Split:
    records = read_json(file, faults, testing=name == 'test', copied=True)
    texts = _as_numbers(records)
    if texts:
        faults.add('text-numbers', file, f'{texts} entries')
    if dropped := drop_root_category(records):
        faults.add('root-category', file, repr(dropped))
    crowds = _only_crowds(records['annotations'])
    if crowds:
        faults.add('only-crowds', file, f'all {len(records["annotations"])} annotations')
    for entry in records['images']:
        if 'file_name' not in entry and isinstance(entry.get('coco_url'), str):  # as in LVIS
            entry['file_name'] = entry['coco_url']
    sized = all(entry.get(side) for entry in records['images'] for side in ('width', 'height'))
    marked = start_of(file).startswith('\ufeff')  # MMDetection cannot read a byte order mark
    own = crowds or bool(texts) or not sized or marked
    return Split(name, file, image_folder(root, file, records), records=records, own_file=own)


def _as_numbers(records: dict[str, list[dict]]) -> int:
    """Turn numbers that are written as text into numbers; return how many entries had some.

    Roboflow writes the sides of boxes so.
    """
    changed = 0
    for part, fields in NUMBERS.items():
        for entry in records[part]:
            new: dict[str, object] = {key: _number(entry.get(key)) for key in fields}
            new = {key: value for key, value in new.items() if value is not None}
            box = entry.get('bbox')
            if isinstance(box, list) and any(isinstance(value, str) for value in box):
                numbers = [_number(value) for value in box]
                new['bbox'] = [v if n is None else n for v, n in zip(box, numbers)]
            entry |= new
            changed += bool(new)
    return changed


def _number(said: object) -> int | float | None:
    """Return the number that a text stands for; None if it is no text, or stands for none."""
    if not isinstance(said, str):
        return None
    try:
        number = float(said)
    except ValueError:
        return None
    return int(number) if said.strip().isdecimal() else number


def _only_crowds(annotations: list[dict]) -> bool:
    """Clear iscrowd if every annotation has it, as CVAT and Datumaro write for brushed masks."""
    if not annotations or not all(a.get('iscrowd') == 1 for a in annotations):
        return False
    for annotation in annotations:
        annotation['iscrowd'] = 0
    return True


def _relocate(
    part: Split, root: Path, finder: ImageFinder, taken: set[str], faults: Faults
) -> None:
    """Correct the names of images that are elsewhere."""
    images = part.records['images']
    moved = relocate(images, part.images, finder, taken)
    for old, new in moved:
        faults.add('image-elsewhere', part.source, f'{old} is {new}', total=len(images))
    part.own_file |= bool(moved)
    if any(new.startswith('..') for _, new in moved):
        _rebase(images, part.images, root)
        part.images = root


def _rebase(images: list[dict], folder: Path, root: Path) -> None:
    """Make image names that are relative to one folder relative to another."""
    for entry in images:
        if isinstance(entry.get('file_name'), str):
            entry['file_name'] = os.path.relpath(folder / entry['file_name'], root)


def _count_from_one(records: dict[str, list[dict]]) -> bool:
    """Renumber annotations if a metric cannot hold an id, or takes it for "not found"."""
    ids = [annotation.get('id') for annotation in records['annotations']]
    odd = any(is_id(i) and not 0 < i < LARGEST_ID for i in ids)
    if not odd or len({*map(str, ids)}) < len(ids):
        return False
    for number, annotation in enumerate(records['annotations'], 1):
        annotation['id'] = number
    return True


def drop_root_category(records: dict[str, list[dict]]) -> str | None:
    """Leave out the category that Roboflow adds as the parent of all others; return its name.

    It has no objects, and may have the same name as one of them.
    """
    first, *others = records['categories'] or [{}]
    name = first.get('name')
    if not others or not name or any(c.get('supercategory') != name for c in others):
        return None
    used = {annotation.get('category_id') for annotation in records['annotations']}
    if first.get('id') in used:
        return None
    records['categories'] = others
    return name


def _not_taken(root: Path, found: dict[str, list[Path]]) -> list[Path]:
    """Return files whose names suggest that they annotate a split for which none was found."""
    files = [*root.glob('annotations/*.json'), *root.glob('*.json'), *root.glob('*/*.json')]
    files = [file for file in files if file.is_file() and not json_sign(file)]
    named = {file: split_of_file(root, file) for file in files}
    return sorted(f for f, s in named.items() if s in ('train', 'val') and s not in found)


def read_json(
    file: Path, faults: Faults, *, testing: bool = False, copied: bool = False
) -> dict[str, list[dict]]:
    """Return the three lists of a COCO file, empty if the file is broken.

    Args:
        copied: MMDetection reads a copy of it.
        testing: the file may lack annotations, like that of a benchmark with hidden labels.
    """
    try:
        raw = file.read_bytes()
        content = json.loads(raw.decode('utf-8-sig'))
        twice = [part for part in PARTS if raw.count(b'"%s":' % part.encode()) > 1]
        if twice and (said := _repeated(raw)):
            faults.add('wrong-structure', file, f'it has {said!r} twice; only the last is read')
    except UnicodeDecodeError:
        faults.add('broken-file', file, 'it is not UTF-8; save it as UTF-8')
        return {part: [] for part in PARTS}
    except (ValueError, OSError) as error:
        faults.add('broken-file', file, error)
        return {part: [] for part in PARTS}
    except RecursionError:
        faults.add('broken-file', file, 'it is nested too deeply')
        return {part: [] for part in PARTS}
    if not copied and raw.startswith(codecs.BOM_UTF8):
        faults.add('broken-file', file, 'it begins with a byte order mark, which MMDetection '
                   'cannot read; save it as UTF-8 without BOM')  # fmt: skip
    records: dict[str, list[dict]] = {}
    for part in PARTS:
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            if not (testing and entries is None and part != 'images'):
                faults.add('wrong-structure', file, f'no list "{part}"')
            entries = []
        wrong = [entry for entry in entries if not isinstance(entry, dict)]
        for entry in wrong:
            faults.add('wrong-structure', file, f'in "{part}": {str(entry)[:40]}')
        records[part] = [entry for entry in entries if isinstance(entry, dict)]
        for entry in records[part]:
            for field in NAMES & entry.keys():
                if isinstance(entry[field], list | dict):
                    faults.add('wrong-type', file, f'{field} {str(entry[field])[:40]}')
                    entry[field] = str(entry[field])  # hashable, for look-ups
    return records


def _repeated(raw: bytes) -> str:
    """Return a key that a file has twice at its top level (JSON keeps the last); '' if none."""
    pairs = json.loads(raw.decode('utf-8-sig'), object_pairs_hook=list)
    keys = [pair[0] for pair in pairs if isinstance(pair, tuple)]
    return next((part for part in PARTS if keys.count(part) > 1), '')


def image_folder(root: Path, file: Path, records: dict) -> Path:
    """Return the folder in which most image names exist."""
    names = [e['file_name'] for e in records['images'] if isinstance(e.get('file_name'), str)]
    names = names[:: max(1, len(names) // LOOKED_AT)]
    stem = file.stem.removeprefix('instances_')
    split = split_of_file(root, file) or 'train'
    words = [
        stem,
        split,
        *(p.name for p in root.iterdir() if p.is_dir() and split_of(p.name) == split),
    ]
    inside = [root / 'images', root / 'JPEGImages', root / 'data', root]
    candidates = [folder / word for word in words for folder in inside]
    candidates = [f for f in (file.parent, *candidates, *inside) if f.is_dir()]
    return max(candidates, key=lambda folder: sum(os.path.isfile(folder / n) for n in names))
