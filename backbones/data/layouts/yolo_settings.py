"""The settings in YOLO's `data.yaml`: class names, splits, keypoints."""

import math
from pathlib import Path

from backbones.data.faults.faults import Faults
from backbones.data.files.listing import list_files, read_lines
from backbones.data.files.yaml_text import YamlError, read_yaml
from backbones.data.layouts.label_names import numbered
from backbones.data.layouts.yolo_names import BESIDE
from backbones.errors import listed

KEYS = {'train': ('train',), 'val': ('val', 'valid'), 'test': ('test',)}
DECISIVE = ('names', 'train', 'val', 'valid', 'test', 'kpt_shape')  # keys that must agree
SUFFIXES = ('.yaml', '.yml')
VALUES = 1000  # maximum number of values of an object's keypoints


def yaml_files(root: Path) -> list[Path]:
    """List the YAML files directly in a folder."""
    return sorted(p for p in root.iterdir() if p.suffix.lower() in SUFFIXES)


def load(file: Path) -> dict | None:
    """Read a YAML file of settings, with values as text; None if it is none."""
    try:
        content = read_yaml(file)
    except YamlError:
        return None
    return content if isinstance(content, dict) else None


def hint(root: Path) -> str:
    """Explain why a YAML file at the root is not YOLO's; '' if there is none."""
    for file in yaml_files(root):
        try:
            if not isinstance(read_yaml(file), dict):
                return f' {file.name} has no settings.'
        except YamlError as error:
            return f' {file.name} cannot be read: {error}.'
        return f' {file.name} has no "names", the list of classes.'
    return ''


def names_of(names: object, file: Path, faults: Faults) -> list[str]:
    """Return the class names that `names` lists, or has by number; '' for what is no name."""
    if isinstance(names, dict):
        if sorted(names) != sorted(map(str, range(len(names)))):
            shown = ', '.join(names)
            faults.add('class-count', file, f'the keys of names are {shown[:40]}, not 0 to '
                       f'{len(names) - 1}')  # fmt: skip
            return []
        names = [names[key] for key in sorted(names, key=int)]
    if not isinstance(names, list):
        faults.add('wrong-yaml', file, f'names is {str(names)[:40]!r}, not a list of classes')
        return []
    for name in names:
        if not isinstance(name, str):
            faults.add('unnamed-class', file, f'names has {str(name)[:40]}')
    return [name if isinstance(name, str) else '' for name in names]


def check_lists(root: Path, file: Path, classes: list[str], faults: Faults) -> None:
    """Compare the names with lists that programs leave beside the labels."""
    for other in list_files(root, ('.txt', '.labels')):
        if other.name not in BESIDE:
            continue
        there = read_lines(other)
        by_number = numbered(there) or dict(enumerate(there))
        # one may go on where the other ends, as with the names of keypoints
        if any(by_number.get(number, name) != name for number, name in enumerate(classes)):
            example = f'names is {listed(classes)}, but {other.relative_to(root)} has ' \
                      f'{listed(there)}: correct the former, or remove the latter'  # fmt: skip
            faults.add('wrong-yaml', file, example)


def check_settings(root: Path, file: Path, content: dict, faults: Faults) -> None:
    """Compare settings with other YAML files, and with settings that mean the same."""
    for other in yaml_files(root):
        there = load(other) or {}
        for key in DECISIVE if other != file and 'names' in there else ():
            if (said := there.get(key)) != content.get(key):
                example = f'{key} is {_short(content.get(key))}, but {_short(said)} in ' \
                          f'{other.name}: correct one of them, or remove the file'  # fmt: skip
                faults.add('wrong-yaml', file, example)
    for keys in KEYS.values():
        if len({str(content[key]) for key in keys if content.get(key)}) > 1:
            faults.add('wrong-yaml', file, f'{" and ".join(keys)} differ: keep one of them')


def _short(value: object) -> str:
    return str(value)[:60]


def keypoints_in(content: dict, file: Path, faults: Faults) -> tuple[int, ...] | None:
    """Return the number of keypoints and of values per keypoint; None if not given."""
    said = content.get('kpt_shape')
    if said is None:
        return None
    words = said if isinstance(said, list) else [said]
    numbers = [int(w) for w in words if isinstance(w, str) and w.isdecimal() and len(w) < 5]
    if len(words) == len(numbers) == 2 and numbers[1] in (2, 3) and math.prod(numbers) < VALUES:
        return tuple(numbers)
    faults.add('wrong-yaml', file, f'kpt_shape is {str(said)[:40]}; allowed: [keypoints, 2 or 3], '
               'as in kpt_shape: [17, 3]')  # fmt: skip
    return ()
