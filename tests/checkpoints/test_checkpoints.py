"""Strict loading: a file loads completely, or an error lists the keys that do not fit."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from conftest import (
    FILE_NAMES,
    HERE,
    NANO,
    SMALLEST,
    published_shapes,
    published_state,
    skeleton,
    variant_id,
)
from torch import nn

from backbones import BACKBONES, DilateFormer
from backbones.checkpoints import PublishedKeys, load_backbone, load_model, match
from backbones.errors import CheckpointError

KEY_LISTS = sorted(p.stem for p in (HERE / 'keys').glob('*.json'))


def meta_model(name: str) -> torch.nn.Module:
    """The model for a key list, without values."""
    return skeleton(FILE_NAMES[name.removesuffix('_dense')])


def meta_state(name: str) -> dict[str, torch.Tensor]:
    return {k: torch.empty(s, device='meta') for k, s in published_shapes(name).items()}


def nano_file(path: Path, **changes: torch.Tensor | None) -> tuple[str, dict]:
    """Save a nano DilateFormer with some tensors replaced, or removed if None."""
    state = {**DilateFormer(NANO[DilateFormer]).state_dict(), **changes}
    state = {k: v for k, v in state.items() if v is not None}
    torch.save({'state_dict': state}, path)
    return str(path), state


def load(path: str | Path, cls: type = DilateFormer, arch: str | dict = NANO[DilateFormer], **kw):
    model = cls(arch, init_cfg=dict(type='Pretrained', checkpoint=str(path), **kw))
    model.init_weights()
    return model


@pytest.mark.parametrize('name', KEY_LISTS)
def test_every_published_key_list_fits_its_variant_strictly(name: str) -> None:
    model, state = meta_model(name), meta_state(name)
    report = match(model, state)
    assert report.problems == ''
    assert len(report.state) + len(report.dropped) == len(state)
    built = {k: v.shape for k, v in model.state_dict().items()}
    assert all(v.shape == built[k] for k, v in report.state.items())
    assert all(
        k.startswith(('head', 'aux_head', 'post_network', 'cls_token')) for k in report.dropped
    )


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[] if FILE_NAMES.get(name) in SMALLEST else [pytest.mark.slow])
        for name in KEY_LISTS
    ],
)
def test_a_wrong_missing_or_surplus_key_is_named(name: str) -> None:
    model, state = meta_model(name), meta_state(name)
    weights = [k for k in state if k.endswith('.weight') and state[k].ndim > 1]
    victim = weights[len(weights) // 2]
    renamed = {**state, 'spurious.weight': state[victim]}
    assert '1 unknown to the model:\n  spurious.weight' in match(model, renamed).problems
    wrong = {**state, victim: torch.empty(3, 5, device='meta')}
    assert f'1 of another shape:\n  {victim} (3, 5)' in match(model, wrong).problems
    del state[victim]
    missing = re.search(r'1 missing in the file:\n  (\S+)', match(model, state).problems)
    assert missing and missing[1] in model.state_dict()


@cache
def random_state(cls: type) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {k: v + torch.rand_like(v.float()) for k, v in cls(NANO[cls]).state_dict().items()}


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
@pytest.mark.parametrize('prefix', ['', 'module.', 'backbone.', 'module.backbone.'])
def test_own_checkpoints_round_trip(cls: type, prefix: str, tmp_path: Path) -> None:
    state = {prefix + k: v for k, v in random_state(cls).items()}
    tensors = len(state)
    if 'backbone' in prefix:
        state['neck.conv.weight'] = torch.zeros(1)
    torch.save({'state_dict': state, 'meta': {'epoch': 3}}, tmp_path / 'own.pth')
    model = load(tmp_path / 'own.pth', cls, NANO[cls])
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[prefix + key].to(value.dtype))
    assert f'loaded {tensors} of {tensors} tensors' in str(model.loaded)
    assert ('intentionally dropped: 1 (neck)' in str(model.loaded)) == ('backbone' in prefix)


def test_fewer_levels_load_from_a_full_file(tmp_path: Path) -> None:
    path, _ = nano_file(tmp_path / 'full.pth')
    model = DilateFormer(
        NANO[DilateFormer], out_indices=(0, 1), init_cfg=dict(type='Pretrained', checkpoint=path)
    )
    model.init_weights()
    assert 'intentionally dropped' in str(model.loaded) and 'stages' in str(model.loaded)


def test_a_file_of_another_variant_names_the_variant(tmp_path: Path) -> None:
    torch.save(DilateFormer('small').state_dict(), tmp_path / 'small.pth')
    with pytest.raises(
        ValueError, match=r"missing|unknown to the model(.|\n)*type='DilateFormer', arch='small'"
    ):
        load(tmp_path / 'small.pth', arch='tiny')


def test_nothing_is_loaded_from_a_file_that_does_not_fit(tmp_path: Path) -> None:
    path, _ = nano_file(tmp_path / 'part.pth', **{'stages.1.blocks.0.mlp.fc1.weight': None})
    torch.manual_seed(3)
    model = DilateFormer(NANO[DilateFormer], init_cfg=dict(type='Pretrained', checkpoint=path))
    with pytest.raises(
        ValueError, match=r'1 missing in the file:\n  stages.1.blocks.0.mlp.fc1.weight'
    ):
        model.init_weights()
    assert model.loaded is None


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth does not exist'):
        load(tmp_path / 'nowhere.pth')
    (tmp_path / 'last.pth').touch()
    with pytest.raises(FileNotFoundError, match=r'best\.pth does not exist; .* has last\.pth$'):
        load(tmp_path / 'best.pth')


def test_the_wrapper_entry_can_be_named(tmp_path: Path) -> None:
    state = DilateFormer(NANO[DilateFormer]).state_dict()
    ema = {k: v + 1 for k, v in state.items()}
    torch.save({'model': state, 'model_ema': ema}, tmp_path / 'both.pth')
    assert torch.equal(load(tmp_path / 'both.pth').norm0.weight, state['norm0.weight'])
    model = load(tmp_path / 'both.pth', key='model_ema')
    assert torch.equal(model.norm0.weight, ema['norm0.weight'])
    with pytest.raises(ValueError, match="no entry 'ema'; it has model, model_ema"):
        load(tmp_path / 'both.pth', key='ema')
    torch.save({'model': 3}, tmp_path / 'empty.pth')
    with pytest.raises(ValueError, match='holds no tensors'):
        load(tmp_path / 'empty.pth')


@pytest.mark.parametrize(
    'name', ['cswin_tiny_dense', pytest.param('moganet_xtiny_dense', marks=pytest.mark.slow)]
)
def test_published_whole_models_load_under_our_names(name: str, tmp_path: Path) -> None:
    row = FILE_NAMES[name.removesuffix('_dense')]
    cls, arch = row.cls, row.arch
    head = torch.nn.Linear(3, 4)
    model = torch.nn.ModuleDict({'backbone': cls(arch), 'decode_head': head})
    state = {f'backbone.{k}': v for k, v in published_state(name).items()}
    state |= {f'decode_head.{k}': v + 1 for k, v in head.state_dict().items()}
    torch.save({'meta': {'epoch': 12}, 'state_dict': state}, tmp_path / 'whole.pth')
    load_model(model, str(tmp_path / 'whole.pth'))
    alone = load(tmp_path / 'whole.pth', cls, arch).state_dict()
    for key, value in model['backbone'].state_dict().items():
        assert torch.equal(value, alone[key])
    assert torch.equal(model['decode_head'].weight, state['decode_head.weight'])
    del state['backbone.norm2.weight']
    torch.save({'state_dict': state}, tmp_path / 'part.pth')
    with pytest.raises(ValueError, match='missing in the file'):
        load_model(model, str(tmp_path / 'part.pth'))


def test_whole_models_load_strictly(tmp_path: Path) -> None:
    model = torch.nn.ModuleDict(
        {'backbone': torch.nn.Linear(2, 3), 'decode_head': torch.nn.Linear(3, 4)}
    )
    state = {k: v + 1 for k, v in model.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'model.pth')
    load_model(model, str(tmp_path / 'model.pth'))
    assert torch.equal(model['backbone'].weight, state['backbone.weight'])
    other = torch.nn.ModuleDict(
        {'backbone': torch.nn.Linear(2, 3), 'decode_head': torch.nn.Linear(3, 7)}
    )
    with pytest.raises(
        ValueError, match=r'2 of another shape:\n  decode_head.weight \(4, 3\) \(here \(7, 3\)\)'
    ):
        load_model(other, str(tmp_path / 'model.pth'))
    load_model(other, str(tmp_path / 'model.pth'), new_classes=set)
    assert torch.equal(other['backbone'].weight, state['backbone.weight'])
    del other['backbone']
    with pytest.raises(ValueError, match='2 unknown to the model'):
        load_model(other, str(tmp_path / 'model.pth'), new_classes=set)


class WithStem(DilateFormer):
    """A backbone whose published names also begin with `stem`, whose kernel is another."""

    PUBLISHED = PublishedKeys(
        renames=((r'^stem\.conv\.', 'stem.'), (r'\.dense([12])\.', r'.fc\1.')),
        added=(r'norm[012]\.',),
    )

    def build_stem(self) -> nn.Module:
        return nn.Conv2d(self.in_channels, self.arch['dims'][0], 4, 4)


def test_published_names_may_begin_with_stem(tmp_path: Path) -> None:
    own = WithStem(NANO[DilateFormer]).state_dict()
    published = {
        re.sub(r'\.fc([12])\.', r'.dense\1.', re.sub(r'^stem\.', 'stem.conv.', key)): tensor
        for key, tensor in own.items()
        if not key.startswith(('norm0.', 'norm1.', 'norm2.'))
    }
    path = tmp_path / 'x.pth'
    for state in (published, own):
        torch.save(state, path)
        assert load(path, WithStem).loaded.tensors == len(state)
    torch.save({key: tensor for key, tensor in own.items() if key != 'norm0.bias'}, path)
    with pytest.raises(CheckpointError, match=r'1 missing in the file:\n  norm0.bias'):
        load(path, WithStem)


def test_the_first_kernel_is_adapted_whatever_its_name(tmp_path: Path) -> None:
    torch.save(WithStem(NANO[DilateFormer]).state_dict(), tmp_path / 'x.pth')
    model = WithStem(NANO[DilateFormer], in_channels=4)
    load_backbone(model, str(tmp_path / 'x.pth'))
    assert model.loaded.adapted == [('stem.weight', 3, 4)]
