"""The backbones need only torch: what works in a process without OpenMMLab, timm and OpenCV."""

import json
from pathlib import Path

import pytest
import torch
from conftest import SMALLEST, file_name, published_state
from fresh import fresh

FOREIGN = (
    *('mmengine', 'mmcv', 'mmdet', 'mmseg', 'timm', 'cv2', 'torchvision'),
    *('supervision', 'prettytable', 'matplotlib', 'pycocotools', 'defusedxml'),
)
PROGRAM = """
import json, sys, warnings

foreign = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(foreign))  # importing one is an error
import torch
warnings.simplefilter('error')
import backbones
warnings.simplefilter('default')  # PyTorch 2.4 warns about its own code

facts = {'found': [name for name in foreign if sys.modules[name]]}
facts['parts'] = [name for name in sys.modules if name.startswith('backbones.')]
facts['levels'], facts['loaded'] = {}, {}
for name, file in json.loads(sys.argv[2]).items():
    model = backbones.create(name, drop_path_rate=0.2, pretrained=file)
    model(torch.zeros(1, 3, 64, 64))[-1].sum().backward()
    with torch.inference_mode():
        levels = model.eval()(torch.zeros(1, 3, 64, 64))
    facts['levels'][name] = [tuple(level.shape[1:]) for level in levels]
    facts['loaded'][name] = str(model.loaded)
    nano = type(model)(type(model).NANO, init_cfg=None)
    nano.init_weights()
    assert nano.feature_info.channels() == list(nano.channels)
try:
    backbones.create('cswin_t', pretrained='missing.pth')
except backbones.errors.MissingFileError as error:
    facts['refusal'] = str(error)
backbones.explain(nano)
from backbones.cli import list_backbones
rows = list_backbones.rows(None, max_params=5, weights=True, timm=False)
facts['listed'] = list_backbones.text([*rows])
print(json.dumps(facts))
"""


@pytest.fixture(scope='module')
def facts(tmp_path_factory) -> dict:
    """What `PROGRAM` finds, with a published file of the smallest variant of each backbone."""
    folder, files = tmp_path_factory.mktemp('published'), {}
    for row in SMALLEST:
        files[row.name] = str(folder / f'{row.name}.pth')
        torch.save({'state_dict': published_state(file_name(row))}, files[row.name])
    out = fresh(PROGRAM, json.dumps(FOREIGN), json.dumps(files))
    return json.loads(out.splitlines()[-1])


def test_the_package_imports_nothing_but_torch(facts: dict) -> None:
    assert facts['found'] == []
    wings = {'cli', 'data', 'deploy', 'drawing', 'inference', 'report', 'training'}
    assert not {name.split('.')[1] for name in facts['parts']} & wings
    openmmlab = {name for name in facts['parts'] if name.startswith('backbones.openmmlab.')}
    assert openmmlab == {f'backbones.openmmlab.{name}' for name in ('extra', 'finder', 'register')}


def test_the_list_of_backbones_needs_no_extra(facts: dict) -> None:
    assert 'moganet_xt' in facts['listed']


def test_every_backbone_trains_and_infers_without_the_rest(facts: dict) -> None:
    assert facts['levels'] == {
        row.name: [[c, 64 // s, 64 // s] for c, s in zip(row.channels, (4, 8, 16, 32))]
        for row in SMALLEST
    }


def test_published_files_are_loaded_without_the_rest(facts: dict) -> None:
    for row in SMALLEST:
        said = facts['loaded'][row.name]
        assert said.startswith('loaded ') and f'{row.name}.pth' in said
    assert 'missing.pth does not exist' in facts['refusal']
    assert not Path('missing.pth').exists()
