"""Reading COCO JSON: in `annotations`, beside the images of each split, or at the root."""

import codecs
import json
import os
from pathlib import Path

from backbones.data.dataset import Split, split_of
from backbones.data.faults import Faults
from backbones.data.foreign import json_sign
from backbones.errors import UserError

PARTS = ('images', 'annotations', 'categories')
NAMES = {'id', 'image_id', 'category_id', 'name', 'file_name'}  # single values
LOOKED_AT = 50  # file names that decide which folder has the images
MANY = 20  # JSON files in one folder; more are another layout, with one file per image


def find(root: Path) -> dict[str, Path]:
    """Return the annotation file of each split, empty if this is not a COCO dataset.

    Raises:
        UserError: there are several files for one split.
    """
    files: list[Path] = []
    for folder in (root / 'annotations', root, *sorted(p for p in root.iterdir() if p.is_dir())):
        here = sorted(f for f in folder.glob('*.json') if f.is_file())
        files += here if len(here) <= MANY else []
    files = list(dict.fromkeys(f for f in files if _may_be_coco(f)))
    instances = [f for f in files if f.name.startswith('instances')]
    found: dict[str, Path] = {}
    for file in instances or files:
        split = split_of_file(root, file) or 'train'
        if split in found:
            raise UserError(
                f'{found[split]} and {file} are both annotations of the split {split}: merge them '
                'into one file, or name files or folders train, val and test; move files that are '
                'not annotations elsewhere'
            )
        found[split] = file
    return found


def split_of_file(root: Path, file: Path) -> str | None:
    """Return a file's split by its name or its folder's; the root's name does not count."""
    inside = split_of(file.parent.name) if file.parent != root else None
    return split_of(file.stem) or inside


def _may_be_coco(file: Path) -> bool:
    with open(file, errors='replace') as opened:
        start = opened.read(1 << 16)
    parts = any(f'"{part}"' in start for part in ('images', 'annotations'))
    return not start.strip() or (parts and not json_sign(file))


def read(root: Path, found: dict[str, Path], faults: Faults) -> list[Split]:
    """Read the annotation files; those that cannot be read are faults."""
    splits = []
    for file in _not_taken(root, found):
        read_json(file, faults)
    for name, file in found.items():
        records = read_json(file, faults)
        folder = image_folder(root, file, records)
        splits.append(Split(name, file, folder, records=records))
    return splits


def _not_taken(root: Path, found: dict[str, Path]) -> list[Path]:
    """Return files that, by their names, annotate a split for which none was found."""
    files = [*root.glob('annotations/*.json'), *root.glob('*.json'), *root.glob('*/*.json')]
    named = {file: split_of_file(root, file) for file in files}
    return sorted(f for f, s in named.items() if s in ('train', 'val') and s not in found)


def read_json(file: Path, faults: Faults) -> dict[str, list[dict]]:
    """Return the three lists of a COCO file, empty if the file is broken."""
    try:
        raw = file.read_bytes()
        content = json.loads(raw.decode('utf-8-sig'))
    except (ValueError, OSError) as error:
        faults.add('broken-file', file, error)
        return {part: [] for part in PARTS}
    except RecursionError:
        faults.add('broken-file', file, 'it is nested too deeply')
        return {part: [] for part in PARTS}
    if raw.startswith(codecs.BOM_UTF8):
        faults.add('broken-file', file, 'it begins with a byte order mark, which MMDetection '
                   'cannot read; save it as UTF-8 without BOM')  # fmt: skip
    records: dict[str, list[dict]] = {}
    for part in PARTS:
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
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


def image_folder(root: Path, file: Path, records: dict) -> Path:
    """Return the folder that contains most of the images, to which their names are relative."""
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
