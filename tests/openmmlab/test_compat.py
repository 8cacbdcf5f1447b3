"""Private names of other libraries are all in one place, and exist in the installed versions."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest
import torch
import torchvision  # noqa: F401, registers its operators

import backbones
from backbones.openmmlab.compat import SEEN

PACKAGE = Path(backbones.__file__).parent
OURS = ('self', 'cls', 'super()')


def find(path: str) -> object:
    """A module, or something in one, by its dotted name."""
    if path.startswith('torch.ops.'):
        return getattr(torch.ops, path.rpartition('.')[2])
    try:
        return import_module(path)
    except ModuleNotFoundError:
        owner, _, name = path.rpartition('.')
        return getattr(find(owner), name)


@pytest.mark.parametrize('owner, name', [row[:2] for row in SEEN])
def test_a_private_name_is_still_there(owner: str, name: str) -> None:
    where = find(owner)
    # an attribute that the constructor sets is only in its source
    assert hasattr(where, name) or f'self.{name} ' in inspect.getsource(where.__init__), (
        f'{owner} has no {name} any more: see backbones/openmmlab/compat.py'
    )


def test_no_other_file_reads_a_private_name() -> None:
    """Only those of other libraries; `make test-matrix` tries what `ops` uses of PyTorch."""
    found = []
    for path in PACKAGE.rglob('*.py'):
        inside = path.relative_to(PACKAGE).as_posix()
        if '.mim' in path.parts or inside.startswith(('ops/', 'openmmlab/compat.py')):
            continue
        allowed = {
            '_exit',
            '_replace',
            *(name for _, name, _, file in SEEN if file and file in inside),
        }
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute) or node.attr in allowed:
                continue
            owner, private = ast.unparse(node.value), node.attr.startswith('_')
            if private and not node.attr.startswith('__') and owner not in OURS:
                found.append(f'{inside}:{node.lineno} {owner}.{node.attr}')
    assert not found
