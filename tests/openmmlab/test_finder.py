"""Paths from 0.1 in users' configs."""

import sys
from importlib import import_module

import pytest
from mmengine.config import Config

from backbones.openmmlab.finder import MOVED


@pytest.mark.parametrize('old', MOVED)
def test_an_old_path_has_the_new_names_and_warns(old: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(FutureWarning, match=f'{old} is now {MOVED[old]}'):
        module = import_module(old)
    new = import_module(MOVED[old])
    public = {name for name in vars(new) if not name.startswith('_')}
    assert public and all(getattr(module, name) is getattr(new, name) for name in public)


def test_a_config_of_0_1_is_read(tmp_path) -> None:
    old = [name for name in MOVED if name.startswith('backbones.openmmlab.')]
    for name in old:
        sys.modules.pop(name, None)
    file = tmp_path / 'config.py'
    file.write_text(f'custom_imports = dict(imports={["backbones", *old]})\n')
    with pytest.warns(FutureWarning):
        assert Config.fromfile(file).custom_imports.imports[1:] == old
