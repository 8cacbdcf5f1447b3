"""What users get if they install the package without the repository."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from conftest import ROOT
from markdown_it import MarkdownIt
from packaging.requirements import Requirement

import backbones
from backbones.openmmlab.extra import warn_of_doubles


@pytest.fixture(scope='session')
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of the repository."""
    folder = tmp_path_factory.mktemp('wheel')
    ignored = shutil.ignore_patterns(
        '.*', 'data', 'work_dirs', 'build', '*.egg-info', '__pycache__'
    )
    shutil.copytree(ROOT, folder / 'source', ignore=ignored)
    command = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '-w', folder, folder / 'source'], check=True)
    shutil.rmtree(folder / 'source')
    (path,) = folder.glob('dense_backbones-*-py3-none-any.whl')
    return path


@pytest.fixture(scope='session')
def site(wheel: Path) -> Path:
    """A folder with the wheel's files, laid out like pip does it."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / 'site')
    return wheel.parent / 'site'


@pytest.fixture(scope='session')
def metadata(site: Path) -> Message:
    (path,) = site.glob('*.dist-info/METADATA')
    return Parser().parsestr(path.read_text())


def urls(metadata: Message) -> dict[str, str]:
    return dict(url.split(', ') for url in metadata.get_all('Project-URL'))


def environment(site: Path) -> dict[str, str]:
    return {**os.environ, 'PYTHONPATH': str(site), 'OMP_NUM_THREADS': '1'}


PROGRAM = """
import contextlib, runpy, sys
import backbones, backbones.layers
from mmengine.config import Config

own = Config.fromfile('own.py')
backbone = own.model.backbone
print(backbone.type, backbone.arch, backbone.drop_path_rate, own.train_cfg.max_epochs)
shipped = Config.fromfile(backbones.config_file('upernet_cswin_t_ade20k.py'))
print(shipped.model.type, backbones.__file__, own.custom_imports.imports[0])

def backbones_tool(*arguments):
    sys.argv = ['backbones', *arguments]
    runpy.run_module('backbones', run_name='__main__')  # as python -m backbones does

with contextlib.suppress(SystemExit):
    backbones_tool('test', '--help')
backbones_tool('trian', 'x.py')
"""


@pytest.fixture(scope='session')
def outside(site: Path, tmp_path_factory) -> subprocess.CompletedProcess:
    """`PROGRAM`, run outside the repository with the installed package and a doubled mmdet.

    One program serves several tests, because importing the libraries takes seconds.
    """
    folder = tmp_path_factory.mktemp('outside')
    pretend_installed(folder, 'mmdet')
    (folder / 'own.py').write_text(
        "_base_ = __import__('backbones').config_file('mask_rcnn_cswin_t_coco')\n"
        'model = dict(backbone=dict(drop_path_rate=0.3))\n'
    )
    return subprocess.run(
        [sys.executable, '-c', PROGRAM],
        cwd=folder,  # where Python looks for packages
        env=environment(site),
        text=True,
        capture_output=True,
    )


def test_the_wheel_holds_the_package_with_configs_and_tools(site: Path) -> None:
    files = {str(p.relative_to(site)) for p in site.rglob('*') if p.is_file()}
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts:
                assert f'backbones/.mim/{path.relative_to(ROOT)}' in files
    assert 'backbones/py.typed' in files


def test_the_wheel_holds_nothing_else(site: Path) -> None:
    assert {p.name for p in site.iterdir()} == {
        'backbones',
        f'dense_backbones-{backbones.__version__}.dist-info',
    }
    assert {p.name for p in (site / 'backbones/.mim').iterdir()} == {'configs', 'tools'}
    assert not [p for p in site.rglob('*') if p.name in ('benchmarks', 'docs', 'tests')]


def test_the_metadata_says_who_where_and_under_which_licence(metadata: Message) -> None:
    assert metadata['Name'] == 'dense-backbones'
    assert metadata['Version'] == backbones.__version__
    assert metadata['Author'] == 'Dense Backbones developers'
    assert metadata['License-Expression'] == 'Apache-2.0'
    assert metadata['Requires-Python'] == '>=3.10'
    assert set(urls(metadata)) == {'Repository', 'Issues', 'Changelog'}
    assert all(url.startswith(urls(metadata)['Repository']) for url in urls(metadata).values())
    classifiers = metadata.get_all('Classifier')
    assert {f'Programming Language :: Python :: 3.{minor}' for minor in range(10, 14)} < {
        *classifiers
    }


def test_no_requirement_is_pinned(metadata: Message) -> None:
    requirements = [Requirement(text) for text in metadata.get_all('Requires-Dist')]
    assert {'torch', 'safetensors', 'opencv-python'} < {each.name for each in requirements}
    assert not [str(each) for each in requirements if '==' in str(each.specifier)]


def test_the_bare_package_needs_torch_and_what_reads_weights(metadata: Message) -> None:
    requirements = [Requirement(text) for text in metadata.get_all('Requires-Dist')]
    bare = {each.name for each in requirements if not each.marker}
    assert bare == {'torch', 'safetensors', 'huggingface_hub'}
    site = {each.name for each in requirements if 'docs' in str(each.marker)}
    test = {each.name for each in requirements if 'test' in str(each.marker)}
    assert 'mkdocs' in site and not site & (test - {'ruff'})  # `make docs` needs none of the rest
    assert {*metadata.get_all('Provides-Extra')} == {
        *('openmmlab', 'export', 'openvino', 'runtime', 'docs', 'lora', 'test'),
        *('timm', 'hf', 'mmpretrain'),
    }


def targets(markdown: str) -> list[str]:
    """Return the targets of links and pictures, in order."""
    return re.findall(r'(?:src|href)="([^"]*)"', MarkdownIt().render(markdown))


def test_links_and_pictures_of_the_index_page_are_absolute(metadata: Message) -> None:
    main = f'{urls(metadata)["Repository"]}/{{}}/main/{{}}'
    written = targets((ROOT / 'README.md').read_text())
    shown = targets(metadata.get_payload())
    assert len(shown) == len(written)
    for here, there in zip(written, shown):
        if here.startswith('#'):
            assert there == f'{urls(metadata)["Repository"]}{here}'
        elif here.startswith('https://'):
            assert there == here
        else:
            assert (ROOT / here.split('#')[0]).exists(), here
            assert there == main.format('raw' if here.endswith(('.jpg', '.png')) else 'blob', here)


def test_an_own_config_inherits_from_an_installed_one(outside, site: Path) -> None:
    assert 'CSWin tiny 0.3 12\n' in outside.stdout, outside.stderr
    assert f'EncoderDecoder {site}/backbones/__init__.py backbones\n' in outside.stdout


def test_installed_tools_run_from_anywhere(outside) -> None:
    assert 'usage: ' in outside.stdout and '--tta' in outside.stdout
    missing = r"error: no tool 'trian' in .*/\.mim/tools; did you mean 'train'"
    assert outside.returncode == 1 and re.search(missing, outside.stderr)


def test_importing_the_package_warns_once_of_doubles(outside) -> None:
    assert outside.stderr.count('installed twice') == 1, outside.stderr


@pytest.mark.slow
def test_the_installed_quickstart_trains(site: Path, tmp_path: Path) -> None:
    command = [sys.executable, '-m', 'backbones', 'quickstart']
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(site), text=True, stdout=subprocess.PIPE,
        start_new_session=True,
    ) as run:  # fmt: skip
        try:
            started = any('iteration ' in line for line in run.stdout)
        finally:
            os.killpg(run.pid, signal.SIGKILL)  # including its training run
    assert started
    assert (tmp_path / 'data/digits/annotations/train.json').is_file()
    config = next((tmp_path / 'work_dirs/quickstart/detection').glob('*_nano_digits.py'))
    assert "type='DilateFormer'" in config.read_text()


def test_unknown_configs_name_close_ones() -> None:
    assert Path(backbones.config_file('mask_rcnn_cswin_t_coco.py')).is_file()
    assert Path(backbones.config_file('_base_/models/upernet')).is_file()
    with pytest.raises(FileNotFoundError, match=r"no config 'upernet_cswin_tiny_ade20k' in .*"
                       r'did you mean .*upernet_cswin_t_ade20k'):  # fmt: skip
        backbones.config_file('upernet_cswin_tiny_ade20k')


def pretend_installed(folder: Path, *names: str) -> None:
    for name in names:
        info = folder / f'{name.replace("-", "_")}-1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')


def test_distributions_of_the_same_files_are_warned_of(tmp_path: Path, monkeypatch) -> None:
    pretend_installed(tmp_path, 'mmengine', 'mmcv-lite', 'mmdet')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(UserWarning) as caught:
        warn_of_doubles()
    (message,) = (str(warning.message) for warning in caught)
    for pair in ('mmengine and onedl-mmengine', 'mmcv-lite and onedl-mmcv',
                 'mmdet and onedl-mmdetection'):  # fmt: skip
        assert pair in message
    assert '`pip uninstall -y mmengine mmcv-lite mmdet`' in message
    assert message.endswith(
        '`pip install --force-reinstall --no-deps onedl-mmengine onedl-mmcv onedl-mmdetection`'
    )


def test_the_look_at_distributions_is_cheap_and_silent() -> None:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warn_of_doubles()
    assert time.perf_counter() - start < 0.5
