"""What `import backbones` offers, and that it needs nothing more."""

import inspect
import json
import os
import pydoc
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from fresh import fresh

import backbones
from backbones.errors import ArgumentError, UserError
from backbones.openmmlab.extra import COMMAND

PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
BARE = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
import backbones, pydoc
from backbones import *
facts = {'all': backbones.__all__, 'help': pydoc.plain(pydoc.render_doc(backbones))}
for name in ('Predictor', 'swap_backbone', 'paste'):
    try:
        getattr(backbones, name)
    except ImportError as error:
        facts[name] = str(error)
print(json.dumps(facts))
"""


@pytest.fixture(scope='module')
def bare() -> dict:
    """The package without the extra."""
    missing = ['mmengine', 'mmcv', 'mmdet', 'mmseg', 'cv2', 'torchvision', 'onnxruntime', 'onnx']
    return json.loads(fresh(BARE, json.dumps(missing)).splitlines()[-1])


@pytest.mark.parametrize(
    'call, message',
    [
        (
            lambda: backbones.register(torch.nn.Linear),
            'Linear.* is not a subclass of backbones.Pyramid',
        ),
        (lambda: backbones.explain('cswin_t'), "'cswin_t' is not a module; build one with"),
        (lambda: backbones.swap_backbone('cswin.py', 'volo_d1'), 'cfg is a str; allowed: a Config'),
        (
            lambda: backbones.paste(np.zeros((2, 28, 28)), np.zeros((3, 4)), (9, 9)),
            '2 masks and 3 ',
        ),
    ],
)
def test_arguments_of_another_kind_are_named(call, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call()


def test_a_path_as_init_cfg_is_an_error_that_says_how() -> None:
    model = backbones.CloFormer('xxs', init_cfg='x.pth')
    with pytest.raises(UserError, match=r"init_cfg is x\.pth; .*dict\(type='Pretrained'"):
        model.init_weights()


def test_names_are_listed_by_a_pattern_as_in_timm() -> None:
    assert backbones.list_backbones('cswin_?') == ['cswin_t', 'cswin_s', 'cswin_b', 'cswin_l']
    assert backbones.list_backbones('none') == []


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    for name in backbones.__all__:
        value = getattr(backbones, name)
        assert name in dir(backbones)
        assert name == 'BACKBONES' or len(inspect.getdoc(value)) > 20, name
    assert {'Predictor', 'swap_backbone', 'paste', 'create', 'register'} < {*backbones.__all__}
    with pytest.raises(AttributeError, match="no attribute 'Predicter'"):
        _ = backbones.Predicter


def test_help_begins_with_how_to_use_it() -> None:
    text = pydoc.plain(pydoc.render_doc(backbones))
    head = text.split('\n', 30)
    assert any("backbones.create('cswin_t'" in line for line in head[:8])
    for name in set(backbones.__all__) - {'BACKBONES'}:
        assert re.search(rf'`{name}\b', backbones.__doc__), name


def test_the_example_of_the_docstring_is_right() -> None:
    import torch

    names = dict(torch=torch, backbones=backbones)
    doc = backbones.__doc__.replace('pretrained=True', 'pretrained=None')
    lines = [line.strip() for line in doc.splitlines()]
    results = {i: line for i, line in enumerate(lines) if line.startswith(('[(', '(('))}
    code = [line.removeprefix('>>> ') for line in lines if line.startswith('>>> ')]
    for line in code[:3]:
        exec(line, names)
    assert [repr(eval(line, names)) for line in code[3:]] == list(results.values())


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.name)
def test_pages_make_people_type_public_names_only(page) -> None:
    lines = page.read_text().splitlines()
    text = '\n'.join(line for line in lines if 'custom_imports' not in line)
    code = '\n'.join([*re.findall(r'```python\n(.*?)```', text, re.DOTALL),
                      *re.findall(r'`([^`\n]+)`', text)])  # fmt: skip
    used = set(re.findall(r'\bbackbones\.([A-Za-z_]\w*)', code))
    used |= set(re.findall(r"__import__\('backbones'\)\.(\w+)", code))
    allowed = {*backbones.__all__, '__version__', 'py'}
    assert used <= allowed, used - allowed
    assert not re.search(r'from backbones\.', code)


def test_without_the_extra_its_names_say_the_command(bare: dict) -> None:
    for name in ('Predictor', 'swap_backbone'):
        assert name not in bare['all']
        assert bare[name].startswith(f'backbones.{name} needs ')
        assert COMMAND in bare[name]
    assert "backbones.create('cswin_t'" in bare['help']


TYPED = """
import backbones
from torch import Tensor, nn

model = backbones.create('cswin_t', out_indices=(1, 2, 3))
heads = nn.ModuleList(nn.Conv2d(c, 2, 1) for c in model.channels)
frozen: list[int] = [s for s in model.strides if s > 4]
predictor = backbones.Predictor('trees.onnx')
paths: list[str] = [str(result.path) for result in predictor(['a.jpg'])]


@backbones.register
class Short(backbones.CSWin):
    ARCHS = dict(tiny=dict(backbones.CSWin.ARCHS['tiny'], depths=(1, 2, 9, 1)))

    def forward_stage(self, i: int, x: Tensor) -> Tensor:
        return super().forward_stage(i, x)


backbones.Predicter  # line 20
"""


@pytest.mark.slow
def test_checkers_know_the_types_of_public_names(tmp_path) -> None:
    (tmp_path / 'own.py').write_text(TYPED)
    where = {**os.environ, 'MYPYPATH': str(ROOT)}
    command = [sys.executable, '-m', 'mypy', '--strict', '--config-file=', 'own.py']
    found = subprocess.run(command, cwd=tmp_path, env=where, capture_output=True, text=True).stdout
    errors = [line for line in found.splitlines() if line.startswith('own.py')]
    assert len(errors) == 1 and 'own.py:20: error: Module has no attribute "Predicter"' in errors[0]
