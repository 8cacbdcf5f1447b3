"""What a fresh process imports, and when: neither the package nor --help loads the libraries."""

import json
from pathlib import Path

import pytest
from conftest import ROOT, ROWS
from fresh import fresh

from backbones.openmmlab import finder

TOOLS = sorted(path.stem for path in (ROOT / 'tools').glob('*.py'))
PROGRAM = """
import contextlib, importlib.util, io, json, runpy, sys

facts, tools = {}, json.loads(sys.argv[1])
blocked = ('mmdet', 'mmseg', 'mmcv.ops')
sys.modules.update(dict.fromkeys(blocked))  # importing one is an error
import backbones, torch
facts['loaded'] = [name for name in ('timm', 'torchvision', *blocked) if sys.modules.get(name)]
levels = backbones.create('cloformer_xxs').eval()(torch.zeros(1, 3, 64, 64))
facts['levels'] = [tuple(level.shape) for level in levels]
facts['backbones'] = backbones.list_backbones()
for name in blocked:
    del sys.modules[name]

facts['usages'] = {}
for name in tools:
    sys.argv, out = [name, '--help'], io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(out):
        runpy.run_path(f'tools/{name}.py', run_name='__main__')
    facts['usages'][name] = 'usage: ' in out.getvalue()
facts['loaded by help'] = [name for name in blocked if name in sys.modules]

facts['operators'] = importlib.util.find_spec('mmcv._ext').origin
from backbones.openmmlab import console
out = io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), console.quiet():
    import mmcv.ops, mmdet.models, mmseg.models
    import mmdet.datasets, mmseg.datasets  # say that they lack OneDL
facts['said'] = out.getvalue()
from mmcv.utils import collect_env
facts['compiler'] = collect_env()['MMCV Compiler']
print(json.dumps(facts))
"""


@pytest.fixture(scope='module')
def facts() -> dict:
    """What `PROGRAM` finds; shared by all tests, because importing the libraries takes seconds."""
    return json.loads(fresh(PROGRAM, json.dumps(TOOLS)).splitlines()[-1])


def test_the_package_needs_neither_mmdet_nor_mmseg(facts: dict) -> None:
    assert facts['loaded'] == []
    assert facts['levels'] == [[1, 32, 16, 16], [1, 64, 8, 8], [1, 128, 4, 4], [1, 256, 2, 2]]
    assert facts['backbones'] == [row.name for row in ROWS]


def test_help_answers_without_the_libraries(facts: dict) -> None:
    assert facts['usages'] == dict.fromkeys(TOOLS, True)
    assert facts['loaded by help'] == []


def test_the_libraries_say_nothing_in_a_tool_as_they_are_imported(facts: dict) -> None:
    assert facts['said'] == ''


def test_one_import_makes_openmmlab_importable(facts: dict) -> None:
    assert Path(facts['operators']).samefile(finder.__file__)
    assert facts['compiler'] == 'n/a'
