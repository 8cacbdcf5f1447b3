"""--freeze and --lora: what is trained, what is kept in memory, and what checkpoints contain."""

import copy
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import BACKBONES, NANO, tool
from mmengine.config import Config
from torch import nn

from backbones.adapted.timm_pyramid import TimmPyramid
from backbones.cli import settings
from backbones.errors import CheckpointError, UserError
from backbones.openmmlab.build import build_model
from backbones.openmmlab.replace_backbone import swap_backbone
from backbones.package_files import config_file
from backbones.training.lora import LoraHook, adapters, add_adapters, runner_for

NAME = 'mask_rcnn_cloformer_nano_digits'
every_backbone = pytest.mark.parametrize('cls', BACKBONES, ids=lambda cls: cls.__name__)


def set_training(cfg: Config, **options) -> None:
    settings.set_training(cfg, pretrained=None, auto_scale_lr=False, **options)


def nano(cls: type, **options) -> nn.Module:
    torch.manual_seed(0)
    model = cls(NANO[cls], **options)
    model.init_weights()
    return model


def levels(model: nn.Module, seed: int = 0) -> torch.Tensor:
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    return torch.cat([level.flatten(1) for level in model(x)], 1)


@every_backbone
def test_a_frozen_backbone_keeps_nothing_for_gradients(cls: type) -> None:
    cfg = Config.fromfile(config_file(NAME))
    set_training(cfg, freeze=True)
    model = nano(cls, frozen_stages=cfg.model.backbone.frozen_stages, drop_path_rate=0.5).train()
    assert levels(model).grad_fn is None, 'there is no graph that keeps activations'
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(module.training for module in model.modules() if not [*module.children()])


def test_options_that_contradict_each_other_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(settings, 'find_spec', lambda name: None)
    cfg = Config.fromfile(config_file(NAME))
    said = (
        r'--lora is 0; allowed: 1, 2, 3.*--freeze does not train it: remove one; --lora and --ema '
        r'cannot be combined.*'
        r"--lora needs the package peft: pip install 'dense-backbones\[lora\]'"
    )
    with pytest.raises(UserError, match=said):
        set_training(cfg, freeze=True, rank=0, ema=True)
    cfg.model.backbone = dict(type='mmdet.ResNet', depth=18)
    with pytest.raises(
        UserError, match=r'--freeze works only with our backbones, and mmdet.ResNet is not'
    ):
        set_training(cfg, freeze=True)


def test_a_config_without_adapters_has_the_usual_runner() -> None:
    cfg = Config.fromfile(config_file(NAME))
    assert runner_for(cfg).__name__ == 'QuietRunner'
    cfg.lora = 8
    settings.set_testing(cfg, tta=False)
    assert 'lora' not in cfg


@pytest.mark.lora
@every_backbone
def test_adapters_change_no_name_and_are_saved_merged(cls: type) -> None:
    model = nano(cls).eval()
    names, before = [*model.state_dict()], levels(model)
    add_adapters(model, 4)
    assert sorted(model.state_dict()) == sorted(names)
    far = (levels(model) - before).abs().max() / before.abs().max()
    assert far < 1e-4, 'a new adapter changes nothing'
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    norms = tuple(f'{name}.' for name in model.NORM_NAMES)
    assert all('lora_' in name or name.startswith(norms) for name in trained)
    share = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert 0 < share < 0.5 * sum(p.numel() for p in model.parameters())
    levels(model).square().sum().backward()
    with torch.no_grad():
        for _, layer in adapters(model):
            weight = layer.lora_B['default'].weight
            weight.copy_(torch.randn_like(weight) * 0.02)
    expected = levels(model)
    assert not torch.equal(expected, before)
    plain = nano(cls).eval()
    plain.load_state_dict(model.state_dict())
    assert (levels(plain) - expected).abs().max() < 1e-4 * expected.abs().max()
    model.load_state_dict(model.state_dict())  # merged, which resets the adapters
    assert all(not layer.lora_B['default'].weight.any() for _, layer in adapters(model))
    assert (levels(model) - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.lora
def test_a_file_in_the_names_of_timm_is_loaded_below_adapters(tmp_path: Path) -> None:
    timm = pytest.importorskip('timm')
    torch.save(timm.create_model('test_vit').state_dict(), tmp_path / 'x.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'x.pth'))
    plain, adapted = (TimmPyramid('test_vit', init_cfg=init_cfg) for _ in range(2))
    add_adapters(adapted, 4)
    for model in (plain, adapted):
        model.init_weights()
    weights = adapted.trunk.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in plain.trunk.state_dict().items())


@pytest.mark.lora
def test_initial_weights_are_those_without_adapters() -> None:
    (cls,) = (c for c in BACKBONES if c.__name__ == 'CSWin')
    plain, adapted = nano(cls), cls(NANO[cls])
    add_adapters(adapted, 4)
    adapted.load_state_dict(plain.state_dict())
    adapted.init_weights()
    assert all(not layer.lora_B['default'].weight.any() for _, layer in adapters(adapted))
    assert all(layer.lora_A['default'].weight.any() for _, layer in adapters(adapted))


@pytest.mark.lora
def test_a_checkpoint_gives_the_adapters_back_to_the_last_bit() -> None:
    (cls,) = (c for c in BACKBONES if c.__name__ == 'CloFormer')
    model = nano(cls)
    add_adapters(model, 4)
    with torch.no_grad():
        for _, layer in adapters(model):
            layer.lora_B['default'].weight.normal_()
    runner = SimpleNamespace(model=model, _resume=True)
    checkpoint = dict(state_dict=model.state_dict())
    LoraHook().before_save_checkpoint(runner, checkpoint)
    checkpoint = copy.deepcopy(checkpoint)  # as a file
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    hook = LoraHook()
    hook.after_load_checkpoint(runner, checkpoint)
    model.load_state_dict(checkpoint['state_dict'])
    hook.before_train(runner)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, expected[name]), name
    with pytest.raises(CheckpointError, match='from a training run without --lora'):
        LoraHook().after_load_checkpoint(runner, {})


LIES = {
    'a layer is missing': lambda kept, name: kept.pop(name),
    'a layer too many': lambda kept, name: kept.update(more=kept[name]),
    'no list of layers': lambda kept, name: kept.clear(),
    'two tensors': lambda kept, name: kept[name].pop(),
    'no tensors': lambda kept, name: kept.update({name: [1, 2, 3]}),
    'a shape that would be repeated': lambda kept, name: kept[name].__setitem__(
        1, kept[name][1][:1]
    ),
    'another rank': lambda kept, name: kept.update(
        {name: [kept[name][0], kept[name][1][:2], kept[name][2][:, :2]]}
    ),
    'NaN': lambda kept, name: kept[name][1].fill_(torch.nan),
    'other weights below': lambda kept, name: kept[name][0].add_(1),
    'an adapter of another run': lambda kept, name: kept[name][2].normal_(),
}


@pytest.mark.lora
@pytest.mark.parametrize('lie', LIES)
def test_adapters_that_contradict_the_weights_beside_them_are_refused(lie: str) -> None:
    (cls,) = (c for c in BACKBONES if c.__name__ == 'CloFormer')
    model = nano(cls)
    add_adapters(model, 4)
    with torch.no_grad():
        for _, layer in adapters(model):
            layer.lora_B['default'].weight.normal_()
    checkpoint = dict(state_dict=model.state_dict())
    runner = SimpleNamespace(model=model, _resume=True)
    LoraHook().before_save_checkpoint(runner, checkpoint)
    checkpoint = copy.deepcopy(checkpoint)
    LoraHook().after_load_checkpoint(runner, checkpoint)
    LIES[lie](checkpoint['lora'], next(iter(checkpoint['lora'])))
    with pytest.raises(CheckpointError, match='the adapters in the checkpoint'):
        LoraHook().after_load_checkpoint(runner, checkpoint)


@pytest.mark.lora
def test_a_training_run_with_adapters_resumes_and_is_tested_without_them(tmp_path: Path) -> None:
    assert find_spec('peft')
    tool('make_digits', '--out', tmp_path / 'digits', '--train', 8, '--val', 4)
    settings = dict(max_keep_ckpts=5, interval=2)
    options = ('--lora', 4, '--data-root', tmp_path / 'digits', '--device', 'cpu', '--cfg-options',
               'train_cfg.max_iters=4', 'train_cfg.val_interval=2',
               *(f'default_hooks.checkpoint.{k}={v}' for k, v in settings.items()))  # fmt: skip
    whole, again = tmp_path / 'whole', tmp_path / 'again'
    said = tool('train', NAME, '--work-dir', whole, *options)
    assert 'M are trained' in said
    tool('train', NAME, '--work-dir', again, *options)
    (again / 'iter_4.pth').unlink()
    tool('train', NAME, '--work-dir', again, '--resume', again / 'iter_2.pth', *options)
    files = [torch.load(run / 'iter_4.pth') for run in (whole, again)]
    first, second = (file['state_dict'] for file in files)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert files[0]['lora'].keys() == files[1]['lora'].keys() != set()
    tool('test', NAME, whole / 'last.pth', '--data-root', tmp_path / 'digits')
    refused = tool('train', NAME, '--work-dir', again, '--resume', *options[2:], fails=True)
    assert 'lora 4 -> absent' in refused


def test_a_model_of_timm_is_frozen_but_not_what_makes_its_levels() -> None:
    cfg = Config.fromfile(config_file('upernet_cloformer_nano_digits'))
    cfg = swap_backbone(cfg, 'timm:test_vit')
    set_training(cfg, freeze=True)
    backbone = build_model(cfg, cfg.model.backbone, device='meta')
    trained = {name.split('.')[0] for name, p in backbone.named_parameters() if p.requires_grad}
    assert trained == {'makers'}
