"""Without the extra `openmmlab`, everything that needs it prints one line with the command."""

import json

from conftest import ROOT
from fresh import fresh

from backbones.openmmlab import extra
from backbones.openmmlab.extra import COMMAND, MissingExtraError, missing_extra, require_extra

NEED_NOTHING = {'list_backbones', 'quickstart'}
TOOLS = sorted({path.stem for path in (ROOT / 'tools').glob('*.py')} - NEED_NOTHING)
ARGUMENTS = {
    'benchmark': ['x', 'x', 'x'],
    'check_data': ['x'],
    'export': ['x', '--out', 'x.onnx', '--dynamic'],
    'make_digits': [],
    'make_example': ['trees'],
    'model_complexity': ['x'],
    'new_config': ['x', '--base', 'x', '--out', 'x.py'],
    'predict': ['x', 'x', 'x', '--out', 'x'],
    'test': ['x', 'x'],
    'train': ['x'],
}
PROGRAM = """
import json, runpy, sys
missing, tools = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(missing))  # importing one is an error
said = {}
for name, arguments in tools.items():
    sys.argv = [name, *arguments]
    try:
        runpy.run_path(f'tools/{name}.py', run_name='__main__')
    except SystemExit as end:
        said[name] = end.code
print(json.dumps(said))
"""


def test_a_tool_without_its_packages_is_one_line_with_the_command() -> None:
    assert sorted(ARGUMENTS) == TOOLS
    missing = [name for name in extra.MODULES if name != 'numpy']  # torch installs numpy
    out = fresh(PROGRAM, json.dumps([missing, ARGUMENTS]))
    line = f'error: this tool needs {", ".join(missing)}, which are not installed; run {COMMAND}'
    assert json.loads(out.splitlines()[-1]) == dict.fromkeys(TOOLS, line)


def test_the_list_of_backbones_needs_none_of_them() -> None:
    missing = [name for name in extra.MODULES if name != 'numpy']
    assert '| moganet_xt ' in fresh(PROGRAM, json.dumps([missing, {'list_backbones': []}]))
    out = fresh(PROGRAM, json.dumps([[*missing, 'timm'], {'list_backbones': ['--timm']}]))
    assert "error: --timm needs timm: pip install 'dense-backbones[timm]'" in out


def test_the_extra_is_complete_here() -> None:
    require_extra('this test')


def test_the_names_are_those_of_the_extras_packages() -> None:
    """The check covers every package of the extra that our code imports."""
    text = '\n'.join(p.read_text() for p in (ROOT / 'backbones').rglob('*.py'))
    for name in extra.MODULES:
        assert f'import {name}' in text or f'from {name}' in text or name == 'faster_coco_eval'


def test_openmmlabs_own_packages_are_not_to_be_overwritten(monkeypatch) -> None:
    monkeypatch.setattr(extra, 'openmmlabs_own', lambda: ['mmengine', 'mmdet'])
    error = missing_extra('this', ['supervision'])
    assert isinstance(error, MissingExtraError) and isinstance(error, ImportError)
    assert str(error).endswith('in another environment, as it would overwrite mmengine, mmdet here')
