"""The code of docs/other_libraries.md: our backbones with the heads of other libraries."""

import re

import pytest
import torch
from conftest import ROOT

import backbones
from backbones import BACKBONES

TEXT = (ROOT / 'docs/other_libraries.md').read_text()
CODE = dict(re.findall(r'^## (.+?)\n.*?```python\n(.*?)```', TEXT, re.DOTALL | re.MULTILINE))
CHANNELS = backbones.variant('cloformer_xxs').channels


def run(section: str) -> dict:
    """Execute a section's code with a small backbone without weights; return its names."""
    torch.manual_seed(0)
    code = CODE[section].replace("'cswin_t'", "'cloformer_xxs'")
    names: dict = {}
    exec(code.replace('pretrained=True', 'pretrained=None'), names)
    return names


def learns(backbone: torch.nn.Module) -> bool:
    """Every parameter has a gradient, and some are not zero."""
    grads = [p.grad for p in backbone.parameters()]
    return all(g is not None and g.isfinite().all() for g in grads) and any(g.any() for g in grads)


def test_every_section_has_its_test() -> None:
    assert [*CODE] == [
        'Plain PyTorch',
        'Lightning',
        "torchvision's detectors",
        'segmentation_models.pytorch',
        'Hugging Face transformers',
        'timm',
    ]


def test_plain_pytorch_learns() -> None:
    names = run('Plain PyTorch')
    assert names['losses'][-1] < names['losses'][0] and learns(names['model'])


def test_lightning_trains(tmp_path, monkeypatch) -> None:
    pytest.importorskip('lightning')
    monkeypatch.chdir(tmp_path)
    names = run('Lightning')
    assert names['trainer'].global_step == 2
    assert names['trainer'].callback_metrics['loss'].isfinite()


@pytest.mark.slow
def test_torchvisions_detectors_train_and_predict() -> None:
    names = run("torchvision's detectors")
    for detector in (names['faster_rcnn'], names['retinanet']):
        assert learns(detector.backbone)
    levels = names['faster_rcnn'].backbone(torch.zeros(1, 3, 64, 96))
    sizes = [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
    assert [tuple(level.shape) for level in levels.values()] == [(1, 256, *s) for s in sizes]
    levels = names['retinanet'].backbone(torch.zeros(1, 3, 64, 96))
    sizes = [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1)]
    assert [tuple(level.shape) for level in levels.values()] == [(1, 256, *s) for s in sizes]
    assert {*names['losses']} == {'classification', 'bbox_regression'}
    assert {*names['found']} == {'boxes', 'labels', 'scores'}
    assert names['found']['boxes'].isfinite().all()


def test_segmentation_models_train_and_predict() -> None:
    smp = pytest.importorskip('segmentation_models_pytorch')
    names = run('segmentation_models.pytorch')
    assert names['logits'].shape == (2, 21, 96, 128)
    names['logits'].square().mean().backward()
    assert learns(names['model'].encoder)
    assert list(names['model'].encoder.out_channels) == [3, 0, *CHANNELS]

    def predict(name: str) -> torch.Size:
        options = dict(encoder_output_stride=32) if name == 'PAN' else {}
        model = getattr(smp, name)('cloformer_xxs', encoder_weights=None, classes=3, **options)
        return model.eval()(torch.zeros(1, 3, 256, 256)).shape

    working = ('UnetPlusPlus', 'Linknet', 'FPN', 'PSPNet', 'PAN', 'MAnet', 'UPerNet', 'Segformer')
    for name in working:
        assert f'`{name}`' in TEXT and predict(name) == (1, 3, 256, 256)
    for name in ('DeepLabV3', 'DeepLabV3Plus', 'DPT'):
        assert f'`{name}`' in TEXT
        with pytest.raises((RuntimeError, NotImplementedError, ValueError)):
            predict(name)


def test_transformers_train_and_predict() -> None:
    pytest.importorskip('transformers')
    names = run('Hugging Face transformers')
    output, body = names['output'], names['segmentor'].backbone.body
    assert output.logits.shape == (2, 21, 96, 128)
    assert output.loss.isfinite() and learns(body)
    torch.manual_seed(0)
    # transformers re-initialises what it builds, but not the backbone
    drawn = backbones.create('cloformer_xxs').state_dict()
    for name, value in body.state_dict().items():
        if 'running' not in name and 'num_batches' not in name:
            assert torch.equal(value, drawn[name]), name


@pytest.mark.parametrize('cls', BACKBONES, ids=lambda c: c.__name__)
def test_feature_info_is_that_of_timm(cls: type) -> None:
    with torch.device('meta'):
        model = cls(cls.NANO, out_indices=(0, 2))
    dims = cls.NANO['dims']
    assert model.feature_info.channels() == list(model.channels) == [dims[0], dims[2]]
    assert model.feature_info.reduction() == list(model.strides) == [4, 16]
    names = ['norm1', 'norm3'] if cls is backbones.MogaNet else ['stages.0', 'stages.2']
    assert model.feature_info.module_name() == names  # MogaNet's levels come from its norms


@pytest.mark.parametrize('out_indices', [(0, 1, 2, 3), (1, 3)])
def test_feature_info_answers_as_that_of_timm_does(out_indices: tuple[int, ...]) -> None:
    from timm.models import FeatureInfo

    model = backbones.create('cloformer_xxs', out_indices=out_indices)
    ours = model.feature_info
    theirs = FeatureInfo([dict(stage) for stage in ours], out_indices)
    assert ours.info == theirs.info and ours.out_indices == theirs.out_indices
    for method in ('channels', 'reduction', 'module_name', 'get_dicts'):
        assert getattr(ours, method)() == getattr(theirs, method)()
        for idx in (0, [0, 1], -1):
            assert getattr(ours, method)(idx=idx) == getattr(theirs, method)(idx=idx)
    assert ours.get_dicts(['module'], 1) == theirs.get_dicts(['module'], 1)


def test_feature_extractors_of_timm_take_feature_info() -> None:
    from timm.models._features import _get_feature_info

    model = backbones.create('cloformer_xxs')
    assert _get_feature_info(model, (1, 3)).module_name() == ['stages.1', 'stages.3']


def test_the_code_for_timm_holds() -> None:
    names = run('timm')
    assert (names['widths'], names['strides']) == (CHANNELS[1:], [8, 16, 32])
