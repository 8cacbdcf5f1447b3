"""The package's import rules: parts import only from below in this list, without cycles."""

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

import backbones

PACKAGE = Path(backbones.__file__).parent
MODULES_OF = {cls.__module__ for cls in backbones.BACKBONES}
BACKBONES = {name.split('.')[1] for name in MODULES_OF if name.startswith('backbones.')}
# top to bottom; a part may import what is below it, and a folder its own files
FLOORS = (
    '__main__',
    'cli',
    '__init__',
    'report',
    'deploy',
    'inference',
    'training',
    'data',
    'drawing',
    'openmmlab',
    'factory',
    'adapted',
    ' '.join(BACKBONES),
    'pyramid',
    'stage position_table',
    'timm_interface forms layers',
    'checkpoints',
    'registry',
    'variants',
    'ops',
    'folder_lock',
    'atomic_write file_digest package_files pixels tables',
    'errors orientation',
)
# the same inside the folder that has folders of its own
FLOORS_OF_DATA = (
    'contact_sheet',
    'check_dataset',
    'configs',
    'checks',
    'layouts',
    'channels_mmdet channels_mmseg coco_by_name listed_pairs load_mapped mixed_suffixes',
    'pair_list splits',
    'dataset load_channels',
    'faults',
    'files',
)


def numbered(floors: tuple[str, ...], folder: str = '') -> dict[str, int]:
    return {folder + part: n for n, parts in enumerate(floors) for part in parts.split()}


FLOOR = numbered(FLOORS)
FLOOR_OF_DATA = numbered(FLOORS_OF_DATA, 'data.')
FILES = sorted(p for p in PACKAGE.rglob('*.py') if '.mim' not in p.parts)


def module_of(path: Path) -> str:
    """Dotted name below `backbones`; a package by its own name."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(parts[:-1] if len(parts) > 1 and parts[-1] == '__init__' else parts)


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path) -> set[str]:
    """Return the package's modules that a file imports, even late, but not for type checkers."""
    found, tree = set(), ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING':
            node.body = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            inside = name.removeprefix('backbones.')
            if inside == name:
                continue
            if inside not in MODULES:  # something in a module
                inside = inside.rpartition('.')[0] or '__init__'
            found.add(inside)
    return found


IMPORTS = {module: imports(path) for module, path in MODULES.items()}


def parts(modules: Iterable[str], levels: int) -> dict[str, str]:
    """Return the part of each module that is so many levels deep."""
    split = {module: module.split('.') for module in modules}
    return {m: '.'.join(names[:levels]) for m, names in split.items() if len(names) >= levels}


INSIDE_DATA = [module for module in MODULES if module.startswith('data.')]


def test_every_part_has_a_floor() -> None:
    assert {*parts(MODULES, 1).values()} == set(FLOOR)
    assert {*parts(INSIDE_DATA, 2).values()} == set(FLOOR_OF_DATA)


@pytest.mark.parametrize('module', MODULES)
def test_arrows_run_down(module: str) -> None:
    for levels, floor in ((1, FLOOR), (2, FLOOR_OF_DATA)):
        part = parts([module], levels).get(module)
        up = [
            other
            for other, over in parts(IMPORTS[module], levels).items()
            if part in floor and over in floor and over != part and floor[over] <= floor[part]
        ]
        assert not up, f'{module} imports {up}; the floors stand in FLOORS and FLOORS_OF_DATA'


def test_no_circle() -> None:
    left = {module: {m for m in of if m != module} for module, of in IMPORTS.items()}
    while free := [module for module, of in left.items() if not of & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f'these import each other in a circle, or need such: {sorted(left)}'
