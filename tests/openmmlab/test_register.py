"""What `import backbones` does beside MMEngine: each case in a fresh process."""

import importlib
import json
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from fresh import fresh
from mmengine.registry import MODELS

import backbones
from backbones.openmmlab import finder

OWN_NAME = """
import torch
from mmengine.registry import MODELS

@MODELS.register_module()
class VOLO(torch.nn.Module):
    pass

import backbones
assert MODELS.get('VOLO') is VOLO
ours = MODELS.build(dict(type='backbones.VOLO', arch=backbones.VOLO.NANO))
assert isinstance(ours, backbones.VOLO), type(ours)
assert MODELS.get('CSWin') is backbones.CSWin
"""
BROKEN = """
import sys
sys.modules['addict'] = None  # MMEngine needs it
import backbones
assert len(backbones.list_backbones()) > 20
assert backbones.create('cloformer_xxs').init_cfg is None
"""
LIBRARY_FIRST = """
import mmengine, mmcv, mmdet
try:
    import mmcv.ops
except ModuleNotFoundError as error:
    assert error.name == 'mmcv._ext', error
else:
    raise SystemExit('mmcv has compiled operators')
import backbones, torch
from mmcv.ops import nms
dets, kept = nms(torch.tensor([[0., 0, 2, 2], [0, 0, 2, 2]]), torch.tensor([.1, .9]), 0.5)
assert kept.tolist() == [1]
"""


def test_a_name_that_another_class_has_is_left_to_it_with_one_line() -> None:
    out = fresh(OWN_NAME)
    (line,) = (line for line in out.splitlines() if 'MMEngine' in line)
    assert 'in MMEngine, VOLO remains __main__.VOLO;' in line
    assert "type='backbones.VOLO'" in line


def test_a_broken_mmengine_is_said_once_and_stops_nothing() -> None:
    out = fresh(BROKEN)
    assert out.count('MMEngine is installed but cannot be imported') == 1


def define(**rows: dict) -> type:
    """A cell of a notebook."""

    class Short(backbones.CSWin):
        ARCHS = dict(tiny=dict(backbones.CSWin.ARCHS['tiny'], depths=(1, 2, 9, 1)), **rows)

    return backbones.register(Short)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list:
    """The registered classes, as before once the test ends."""
    before = list(backbones.BACKBONES)
    monkeypatch.setattr(MODELS, '_module_dict', dict(MODELS.module_dict))
    yield backbones.BACKBONES
    backbones.BACKBONES[:] = before


def test_a_cell_that_runs_twice_replaces_its_class_with_a_warning(registered: list) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        define()
    count = len(registered)
    with pytest.warns(UserWarning, match=r'Short is defined again and replaces') as caught:
        second = define(other=dict(backbones.CSWin.ARCHS['small']))
    assert len(caught) == 1 and len(registered) == count
    assert backbones.variant('short_t').cls is backbones.variant('short_other').cls is second
    assert MODELS.get('Short') is second


def test_two_classes_cannot_have_a_variant_of_one_name(registered: list) -> None:
    class CSWIN(backbones.CSWin):
        pass

    with pytest.raises(
        backbones.UserError, match=r"backbones\.cswin\.CSWin both have a variant 'cswin_t'"
    ):
        backbones.register(CSWIN)
    assert CSWIN not in registered and MODELS.get('CSWIN') is None


def test_the_package_can_be_reloaded(registered: list) -> None:
    finders, names = list(sys.meta_path), backbones.list_backbones()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        importlib.reload(backbones)
    assert backbones.list_backbones() == names and sys.meta_path == finders


def test_operators_are_found_if_the_library_was_imported_first() -> None:
    fresh(LIBRARY_FIRST)


def test_the_operators_are_a_last_resort(tmp_path: Path) -> None:
    for name in ('__init__', '_ext'):
        (tmp_path / 'mmcv').mkdir(exist_ok=True)
        (tmp_path / 'mmcv' / f'{name}.py').touch()
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import backbones, mmcv._ext
print(mmcv._ext.__file__)
"""
    out = fresh(program, tmp_path)
    assert str(tmp_path / 'mmcv/_ext.py') in out
    assert Path(find_spec('mmcv._ext').origin).samefile(finder.__file__)
    last = next(f for f in sys.meta_path if isinstance(f, finder.Finder))
    assert last.find_spec('mmcv._other', None) is None


def test_the_lines_of_the_package_reach_mmengines_log(tmp_path: Path) -> None:
    program = """
import backbones, json, sys
from mmengine.logging import MMLogger
MMLogger.get_instance('run', log_file=sys.argv[1])
from backbones.checkpoints import load_backbone
load_backbone(backbones.create('cloformer_xxs'), sys.argv[2])
"""
    file = tmp_path / 'own.pth'
    torch.save(backbones.create('cloformer_xxs').state_dict(), file)
    fresh(program, tmp_path / 'run.log', file)
    lines = (tmp_path / 'run.log').read_text().splitlines()
    (line,) = (line for line in lines if 'tensors of CloFormer' in line)
    assert 'INFO' in line and str(file) in line


def test_importing_the_package_loads_little_of_openmmlab() -> None:
    code = 'import backbones, json, sys; print(json.dumps(list(sys.modules)))'
    loaded = json.loads(fresh(code).splitlines()[-1])
    foreign = {'mmcv', 'mmdet', 'mmseg', 'timm', 'cv2', 'torchvision', 'mmengine.runner',
               'mmengine.model', 'mmengine.optim', 'mmengine.hooks'}  # fmt: skip
    assert 'mmengine.registry' in loaded and not foreign & {*loaded}
