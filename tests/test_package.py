"""What a user gets who installs the package without the repository."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

import backbones


def test_the_wheel_holds_backbones_configs_and_tools(tmp_path: Path) -> None:
    source, site = tmp_path / 'source', tmp_path / 'site'
    ignored = shutil.ignore_patterns(
        '.*', 'data', 'work_dirs', 'build', '*.egg-info', '__pycache__'
    )
    shutil.copytree(ROOT, source, ignore=ignored)
    command = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '-w', tmp_path, source], check=True)
    (wheel,) = tmp_path.glob('dense_backbones-*-py3-none-any.whl')
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(site)
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts:
                assert f'backbones/.mim/{path.relative_to(ROOT)}' in names
    assert not [name for name in names if name.startswith(('tests', 'configs', 'tools'))]

    mim = site / 'backbones' / '.mim'
    code = (
        'import backbones; from mmengine.config import Config\n'
        f"cfg = Config.fromfile('{mim}/configs/mask_rcnn_cswin_t_coco.py')\n"
        'print(backbones.__file__, cfg.model.backbone.type)'
    )
    env = {**os.environ, 'PYTHONPATH': str(site)}
    run = [sys.executable, '-c', code]
    out = subprocess.run(run, cwd=tmp_path, env=env, text=True, capture_output=True, check=True)
    assert f'{site}/backbones/__init__.py CSWin' in out.stdout


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    """A folder with the package as pip installs it, not editable."""
    folder = tmp_path_factory.mktemp('installed')
    ignored = shutil.ignore_patterns(
        '.*', 'data', 'work_dirs', 'build', '*.egg-info', '__pycache__'
    )
    shutil.copytree(ROOT, folder / 'source', ignore=ignored)
    pip = [sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-build-isolation']
    pip += ['--no-index', '--target', folder / 'site', folder / 'source']
    subprocess.run(pip, check=True)
    shutil.rmtree(folder / 'source')
    return folder / 'site'


def outside(site: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    """Run Python outside the repository, with the installed package."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(site), 'OMP_NUM_THREADS': '1'},
        text=True,
        capture_output=True,
    )


def test_an_own_config_inherits_from_an_installed_one(site: Path, tmp_path: Path) -> None:
    (tmp_path / 'own.py').write_text(
        "_base_ = __import__('backbones').config_file('mask_rcnn_cswin_t_coco')\n"
        'model = dict(backbone=dict(drop_path_rate=0.3))\n'
    )
    code = (
        'import backbones; from mmengine.config import Config\n'
        "own = Config.fromfile('own.py')\n"
        'backbone = own.model.backbone\n'
        'print(backbone.arch, backbone.drop_path_rate, own.train_cfg.max_epochs)\n'
        "shipped = Config.fromfile(backbones.config_file('upernet_cswin_t_ade20k.py'))\n"
        'print(shipped.model.type, backbones.__file__, own.custom_imports.imports)\n'
    )
    done = outside(site, tmp_path, '-c', code)
    assert 'tiny 0.3 12\n' in done.stdout, done.stderr
    assert f"EncoderDecoder {site}/backbones/__init__.py ['backbones']" in done.stdout


def test_installed_tools_run_from_anywhere(site: Path, tmp_path: Path) -> None:
    help_text = outside(site, tmp_path, '-m', 'backbones', 'test', '--help').stdout
    assert 'usage: ' in help_text and '--tta' in help_text
    command = ('-m', 'backbones', 'test', 'upernet_cswin_t_ade20k', 'gone.pth')
    done = outside(site, tmp_path, *command, '--data-root', 'nowhere')
    assert 'error: ' in done.stderr and 'nowhere/images/validation does not exist' in done.stderr
    done = outside(site, tmp_path, '-m', 'backbones', 'trian', 'x.py')
    assert re.search(r"error: no tool 'trian' in .*/\.mim/tools; did you mean train", done.stderr)


def test_unknown_configs_name_close_ones() -> None:
    assert Path(backbones.config_file('mask_rcnn_cswin_t_coco.py')).is_file()
    assert Path(backbones.config_file('_base_/models/upernet')).is_file()
    with pytest.raises(FileNotFoundError, match=r"no config 'upernet_cswin_tiny_ade20k' in .*"
                       r'did you mean .*upernet_cswin_t_ade20k'):  # fmt: skip
        backbones.config_file('upernet_cswin_tiny_ade20k')
