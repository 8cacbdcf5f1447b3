"""Files from authors, hubs, failed downloads and attackers."""

import argparse
import builtins
import functools
import importlib
import operator
import os
import pickle
import re
import subprocess
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.errors
import numpy as np
import pytest
import torch
from conftest import NANO, SMALLEST_FIRST, published_shapes
from safetensors.torch import save_file
from torch import Tensor

from backbones import CSWin, DilateFormer, list_backbones, variant
from backbones.checkpoints import CheckpointError, load_backbone, load_model, read
from backbones.checkpoints.match import _skeleton as skeleton
from backbones.checkpoints.pickles import STAND_INS
from backbones.errors import MissingFileError, UserError
from backbones.variants import Variant

UNSAFE_ADVICE = ('weights_only', 'add_safe_globals', 'trust')


def load(path: str | Path, cls: type = DilateFormer, arch: str | dict = NANO[DilateFormer], **more):
    model = cls(arch, init_cfg=dict(type='Pretrained', checkpoint=str(path), **more))
    model.init_weights()
    return model


@functools.cache
def _nano_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return DilateFormer(NANO[DilateFormer]).state_dict()


def nano_state() -> dict[str, Tensor]:
    return dict(_nano_state())


def refusal(path: Path) -> str:
    """Return the message with which a file is refused."""
    with pytest.raises(CheckpointError) as error:
        read(str(path))
    assert str(path) in str(error.value)
    assert not [word for word in UNSAFE_ADVICE if word in str(error.value)]
    return str(error.value)


# --- files that would execute something -----------------------------------------------------------


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def history_buffer() -> type:
    """MMEngine's class for logs; the core's tests also run without it."""
    return pytest.importorskip('mmengine.logging').HistoryBuffer


def by_tensor_rebuilder(function: object, *arguments: object) -> Call:
    """A call through PyTorch's rebuilder of tensor subclasses, which calls anything it gets."""
    return Call(torch._tensor._rebuild_from_type_v2, function, torch.Tensor, arguments, None)


def touch(path: Path) -> str:
    return f'open({str(path)!r}, "w").close()'


CALLS: dict[str, Callable[[Path], object]] = {
    'builtins.eval': lambda path: Call(eval, touch(path)),
    'builtins.exec': lambda path: Call(exec, touch(path)),
    'builtins.__import__': lambda path: Call(builtins.__import__, 'this'),
    'importlib.import_module': lambda path: Call(importlib.import_module, 'this'),
    'posix.system': lambda path: Call(os.system, f'touch {path}'),
    'subprocess.Popen': lambda path: Call(subprocess.Popen, ['touch', str(path)]),
    'operator.attrgetter': lambda path: Call(operator.attrgetter, '__class__'),
    'torch.hub.load': lambda path: Call(torch.hub.load, str(path), 'x'),
    'torch.serialization.load': lambda path: Call(torch.load, str(path)),
}
ATTRIBUTES: dict[str, Callable[[], object]] = {
    'of a class': lambda: Call(getattr, history_buffer(), '__init__'),
    'globals': lambda: Call(getattr, Call(getattr, history_buffer(), 'mean'), '__globals__'),
    'of a tensor': lambda: Call(getattr, torch.zeros(1), '__reduce_ex__'),
    'of a namespace': lambda: Call(getattr, argparse.Namespace, '__init__'),
    'by the rebuilder': lambda: by_tensor_rebuilder(getattr, history_buffer(), '__init__'),
    'twice by the rebuilder': lambda: by_tensor_rebuilder(
        getattr, by_tensor_rebuilder(getattr, history_buffer(), 'mean'), '__globals__'
    ),
    'of four names': lambda: Call(getattr, history_buffer(), 'update'),
}


def save(payload: object, path: Path, form: str) -> Path:
    """Write a payload beside good weights."""
    content = {'state_dict': nano_state(), 'args': payload}
    if form == 'pickle':
        path.write_bytes(pickle.dumps({'args': payload}))  # protocol 4, as `pickle` writes it
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == 'zip')
    return path


@pytest.mark.parametrize('form', ['zip', 'old', 'pickle'])
@pytest.mark.parametrize('name', CALLS)
def test_a_file_that_calls_a_function_is_refused_by_its_name(
    name: str, form: str, tmp_path: Path
) -> None:
    touched = tmp_path / 'touched'
    message = refusal(save(CALLS[name](touched), tmp_path / 'evil.pth', form))
    assert f'is rejected: reading it would call {name},' in message
    assert 'torch.save' in message and 'plain tensors' in message
    assert not touched.exists()


@pytest.mark.parametrize('form', ['zip', 'old'])
@pytest.mark.parametrize('name', ATTRIBUTES)
def test_a_file_that_fetches_an_attribute_is_refused(name: str, form: str, tmp_path: Path) -> None:
    message = refusal(save(ATTRIBUTES[name](), tmp_path / 'evil.pth', form))
    assert 'is rejected: reading it would call builtins.getattr, ' in message


# getattr's stand-in has a separate test, test_a_file_that_fetches_an_attribute_is_refused
@pytest.mark.parametrize('name', sorted({*STAND_INS} - {'builtins.getattr'}))
def test_no_stand_in_keeps_what_it_is_given(name: str) -> None:
    """Everything that a file may call besides PyTorch's rebuilders returns something inert."""
    stand_in = STAND_INS[name]
    plain_dict = isinstance(stand_in, type) and issubclass(stand_in, dict)
    made = stand_in({'a': eval}) if plain_dict else stand_in(eval, 'code')
    assert not vars(made) and not callable(made)
    if isinstance(stand_in, type) and not plain_dict:
        made.__setstate__({'__class__': dict, 'x': eval})
        assert not vars(made) and type(made) is stand_in


def test_what_other_code_allows_is_not_allowed_here(tmp_path: Path) -> None:
    path = save(Call(operator.attrgetter, '__class__'), tmp_path / 'evil.pth', 'zip')
    torch.serialization.add_safe_globals([operator.attrgetter])
    try:
        assert 'operator.attrgetter' in refusal(path)
        assert operator.attrgetter in torch.serialization.get_safe_globals()
    finally:
        torch.serialization.clear_safe_globals()


def test_a_pickled_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 3), tmp_path / 'model.pth')
    message = refusal(tmp_path / 'model.pth')
    assert 'torch.nn.modules.linear.Linear' in message and 'model.state_dict()' in message


# --- files as the authors' trainers write them ----------------------------------------------------


class CfgNode(dict):
    """Like yacs' class: a dict whose flags are attributes."""

    def __init__(self, **items: object) -> None:
        super().__init__(items)
        self.__dict__.update(__immutable__=True, __deprecated_keys__=set(), __new_allowed__=False)


CfgNode.__module__ = 'yacs.config'


@pytest.fixture
def yacs(monkeypatch):
    """Let `CfgNode` be pickled under the name that it has in yacs."""
    package = types.ModuleType('yacs')
    package.config = types.ModuleType('yacs.config')
    package.config.CfgNode = CfgNode
    monkeypatch.setitem(sys.modules, 'yacs', package)
    monkeypatch.setitem(sys.modules, 'yacs.config', package.config)


def constant(keys: str, value: float, prefix: str = '') -> dict[str, Tensor]:
    """A published state dict in which every value is `value`; it takes hardly any memory."""
    return {
        prefix + k: torch.full((1,), value).expand(shape)
        if not k.endswith('num_batches_tracked')
        else torch.tensor(7)
        for k, shape in published_shapes(keys).items()
    }


def trained() -> dict[str, object]:
    """What trainers store about optimizer and scaler."""
    moments = dict(step=torch.tensor(5.0), exp_avg=torch.ones(3), exp_avg_sq=torch.ones(3))
    group = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05, params=[0, 1])
    scaler = dict(scale=65536.0, growth_factor=2.0, growth_interval=2000, _growth_tracker=9)
    return dict(
        optimizer=dict(state={0: moments, 1: moments}, param_groups=[group]),
        lr_scheduler=dict(base_values=[1e-3], t_initial=300, noise_range_t=None),
        scaler=scaler,
        args=argparse.Namespace(
            model='dilateformer_tiny', lr=1e-3, output=Path('out'), betas=None, device='cuda'
        ),
    )


def timm_saver(keys: str, arch: str, *, ema: bool = True, prefix: str = '') -> dict[str, object]:
    """timm's CheckpointSaver, which the trainers of CSWin, VOLO and MogaNet use."""
    rest = trained()
    averaged = dict(state_dict_ema=constant(keys, 0.5, prefix)) if ema else {}
    return dict(
        epoch=299, arch=arch, state_dict=constant(keys, 0.25, prefix), optimizer=rest['optimizer'],
        version=2, args=rest['args'], amp_scaler=rest['scaler'], **averaged, metric=82.7,
    )  # fmt: skip


def dilateformer() -> dict[str, object]:
    weights = dict(model=constant('dilateformer_tiny', 0.25))
    return weights | trained() | dict(
        model_ema=constant('dilateformer_tiny', 0.5), epoch=299, max_accuracy=82.1
    )  # fmt: skip


def cloformer() -> dict[str, object]:
    rest = trained()
    config = CfgNode(MODEL=CfgNode(NAME='cloformer_xxs', NUM_CLASSES=1000), TAG='default')
    return dict(
        model=constant('cloformer_xxs', 0.25), optimizer=rest['optimizer'],
        lr_scheduler=rest['lr_scheduler'], max_accuracy=77.0, epoch=299, config=config,
        amp=rest['scaler'],
    )  # fmt: skip


# by variant: the file, the entry that is used, the value of its weights. Averaged weights are used
# only if the authors report their accuracy (CSWin); elsewhere they can be requested
AUTHORS = {
    'dilateformer_t': (dilateformer, 'model', 0.25),
    'cloformer_xxs': (cloformer, 'model', 0.25),
    'cswin_t': (lambda: timm_saver('cswin_tiny', 'CSWin_tiny'), 'state_dict_ema', 0.5),
    'volo_d1': (lambda: timm_saver('volo_d1', 'volo_d1'), 'state_dict', 0.25),
    'moganet_xt': (lambda: timm_saver('moganet_xtiny', 'moganet_xtiny'), 'state_dict', 0.25),
}


@pytest.mark.parametrize(
    'name, form',
    [
        *((name, 'zip') for name in AUTHORS),
        ('cloformer_xxs', 'old'),
        pytest.param('moganet_xt', 'old', marks=pytest.mark.slow),
    ],
)
def test_a_trainers_file_loads_by_the_entry_that_its_authors_evaluate(
    name: str, form: str, tmp_path: Path, yacs
) -> None:
    content, entry, value = AUTHORS[name]
    torch.save(content(), tmp_path / 'x.pth', _use_new_zipfile_serialization=form == 'zip')
    model = variant(name).cls(variant(name).arch)
    load_backbone(model, str(tmp_path / 'x.pth'))
    assert model.loaded.entry == entry
    assert f', entry {entry}' in str(model.loaded)
    weights = [p for n, p in model.named_parameters() if n not in model.loaded.initial]
    assert len(weights) > 100 and all((p == value).all() for p in weights)


def test_every_backbone_has_an_authors_file() -> None:
    assert {variant(n).cls for n in AUTHORS} == {variant(n).cls for n in list_backbones()}


def test_the_log_says_which_weights_were_not_taken(tmp_path: Path) -> None:
    torch.save(dilateformer(), tmp_path / 'x.pth')
    model = load(tmp_path / 'x.pth', arch='tiny')
    assert 'entry model (not used: model_ema)' in str(model.loaded)
    model = load(tmp_path / 'x.pth', arch='tiny', key='model_ema')
    assert (model.norm3.weight == 0.5).all()


@pytest.mark.parametrize(
    'prefix',
    [*(pytest.param(prefix, marks=pytest.mark.slow) for prefix in ('module.', '_orig_mod.')),
     'module._orig_mod.'],
)  # fmt: skip
def test_prefixes_of_wrappers_are_taken_off(prefix: str, tmp_path: Path) -> None:
    torch.save(timm_saver('moganet_xtiny', 'x', prefix=prefix), tmp_path / 'x.pth')
    row = variant('moganet_xt')
    assert (load(tmp_path / 'x.pth', row.cls, row.arch).norm1.weight == 0.25).all()


@pytest.mark.parametrize('numpy', ['numpy.core', 'numpy._core'])
def test_a_runners_file_with_logs_and_numbers_loads(numpy: str, tmp_path: Path) -> None:
    buffer = history_buffer()([0.5, 0.25], [1, 1])
    from mmengine.config import ConfigDict

    meta = dict(
        cfg='model = dict()', epoch=3, seed=np.int64(3), best=np.float64(0.5), log=buffer,
        palette=np.zeros((2, 3), np.uint8), backbone=ConfigDict(type='CSWin', arch='tiny'),
    )  # fmt: skip
    hub = dict(log_scalars={'loss': buffer}, runtime_info={'lr': np.float32(1)}, resumed_keys={})
    state = nano_state()
    new = tmp_path / 'new.pth'
    torch.save(dict(state_dict=state, meta=meta, message_hub=hub), new)
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(tmp_path / 'x.pth', 'w') as target:
        for name in source.namelist():  # numpy 1 had these functions in another module
            content = source.read(name)
            if name.endswith('data.pkl'):
                content = content.replace(b'numpy._core', numpy.encode())
            target.writestr(name, content)
    assert torch.equal(load(tmp_path / 'x.pth').norm0.weight, state['norm0.weight'])


# --- safetensors and the hub ----------------------------------------------------------------------


def test_safetensors_load_as_strictly(tmp_path: Path) -> None:
    state = nano_state()
    save_file(state, tmp_path / 'x.safetensors', metadata={'format': 'pt'})
    model = load(tmp_path / 'x.safetensors')
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    save_file(state, tmp_path / 'other_name.bin')
    assert load(tmp_path / 'other_name.bin').loaded.tensors == len(state)
    del state['norm0.weight']
    save_file(state, tmp_path / 'x.safetensors')
    with pytest.raises(CheckpointError, match=r'1 missing in the file:\n  norm0.weight'):
        load(tmp_path / 'x.safetensors')
    content = (tmp_path / 'other_name.bin').read_bytes()
    (tmp_path / 'other_name.bin').write_bytes(content[: len(content) // 2])
    assert 'truncated or damaged safetensors' in refusal(tmp_path / 'other_name.bin')


def test_a_whole_model_loads_from_safetensors(tmp_path: Path) -> None:
    model = torch.nn.ModuleDict({'backbone': DilateFormer(NANO[DilateFormer])})
    state = {k: v + 1 for k, v in model.state_dict().items()}
    save_file(state, tmp_path / 'x.safetensors')
    load_model(model, str(tmp_path / 'x.safetensors'))
    assert torch.equal(model['backbone'].norm0.weight, state['backbone.norm0.weight'])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch):
    """A hub with one repository of one file, instead of the network."""
    save_file(nano_state(), tmp_path / 'weights.safetensors')
    asked, errors = [], huggingface_hub.errors
    # the first releases of the hub's library had one class for both
    missing = getattr(errors, 'RemoteEntryNotFoundError', errors.EntryNotFoundError)

    def download(repo: str, name: str, revision: str | None = None, **_: bool) -> str:
        asked.append((repo, name, revision))
        if name not in ('pytorch_model.bin', 'sub/own.safetensors'):
            raise missing('no', response=_response())
        return str(tmp_path / 'weights.safetensors')

    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', download)
    monkeypatch.setattr(
        huggingface_hub, 'list_repo_files', lambda repo, revision=None: ['README.md', 'a.bin']
    )
    return asked


def _response():
    from unittest.mock import MagicMock

    return MagicMock(headers={}, status_code=404)


@pytest.mark.parametrize(
    'name, asked',
    [
        ('o/r', ('o/r', 'pytorch_model.bin', None)),
        ('o/r/sub/own.safetensors', ('o/r', 'sub/own.safetensors', None)),
        ('o/r@v1/sub/own.safetensors', ('o/r', 'sub/own.safetensors', 'v1')),
    ],
)
def test_the_hub_is_asked_for_the_file(name: str, asked: tuple, hub: list) -> None:
    model = load(f'hf-hub:{name}')
    assert hub[-1] == asked and f'from hf-hub:{name}' in str(model.loaded)


def test_a_hub_file_that_is_not_there_names_those_that_are(hub: list) -> None:
    with pytest.raises(CheckpointError, match=r'has no gone\.bin; add .*README\.md, a\.bin'):
        load('hf-hub:o/r/gone.bin')
    with pytest.raises(CheckpointError, match='not of the form hf-hub:OWNER/REPO'):
        load('hf-hub:only')


def test_the_hub_offline_is_a_plain_error(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv('HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    with pytest.raises(CheckpointError, match=r'the hub does not answer.*not in its cache'):
        load('hf-hub:nobody/nothing')


# --- files that are something else ----------------------------------------------------------------


LFS = b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 87654321\n'
JUNK = {
    'empty': (b'', 'is empty: download it again'),
    'html': (b'\n<!DOCTYPE html><html>Not found</html>', 'is a web page, perhaps from a failed'),
    'xml': (b'<?xml version="1.0"?><Error>AccessDenied</Error>', 'is a web page'),
    'lfs': (LFS, 'is a git-lfs pointer.*git lfs pull'),
    'text': (b'404: Not Found', "is text that begins with '404: Not Found'"),
    'json': (b'{"message": "rate limit"}', 'is text that begins'),
    'noise': (bytes(range(256)) * 9, 'is truncated or damaged .*download it again'),
    'gzip': (b'\x1f\x8b\x08\x00' + bytes(99), 'is a gzip archive, .* unpack it'),
    'HDF5': (b'\x89HDF\r\n\x1a\n' + bytes(99), 'is a Keras or HDF5 file'),
    'pickle': (pickle.dumps({'weights': [1.5]}), 'is a pickle that PyTorch did not write'),
    'zip cut': (b'PK\x03\x04' + bytes(300), 'is truncated or damaged .*download it again'),
}


@pytest.mark.parametrize('kind', JUNK)
def test_a_file_of_another_kind_is_told_apart(kind: str, tmp_path: Path) -> None:
    content, message = JUNK[kind]
    (tmp_path / 'x.pth').write_bytes(content)
    assert re.search(message, refusal(tmp_path / 'x.pth'))


@pytest.mark.parametrize('share', [0.3, 0.6, 0.9])
def test_a_byte_that_changed_is_noticed(share: float, tmp_path: Path) -> None:
    path = tmp_path / 'x.pth'
    torch.save(nano_state(), path)
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 0xFF
    path.write_bytes(content)
    assert 'has been truncated or damaged since it was written' in refusal(path)


@pytest.mark.skipif(
    not hasattr(torch.serialization, 'set_crc32_options'), reason='this PyTorch writes none'
)
def test_files_without_checksums_load(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(nano_state(), tmp_path / 'x.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    assert load(tmp_path / 'x.pth').loaded.tensors == len(nano_state())


@pytest.mark.parametrize('form', ['zip', 'old'])
@pytest.mark.parametrize('share', [0.02, 0.5, 0.999])
def test_a_truncated_file_asks_for_a_new_download(share: float, form: str, tmp_path: Path) -> None:
    path = tmp_path / 'x.pth'
    torch.save(nano_state(), path, _use_new_zipfile_serialization=form == 'zip')
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    message = refusal(path)
    assert 'is truncated or damaged' in message and 'download it again' in message


def test_other_archives_are_told_apart(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 3)).save(str(tmp_path / 'script.pt'))
    assert 'is a TorchScript archive' in refusal(tmp_path / 'script.pt')
    with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as archive:
        archive.writestr('weights/cswin.pth', b'')
    assert 'PyTorch did not write; it holds weights/cswin.pth' in refusal(tmp_path / 'x.zip')
    torch.save([torch.zeros(2)], tmp_path / 'list.pth')
    assert 'holds a list' in refusal(tmp_path / 'list.pth')


def test_a_folder_names_the_files_in_it(tmp_path: Path) -> None:
    (tmp_path / 'a.pth').touch()
    with pytest.raises(MissingFileError, match=r'is a folder; give a file in it: a\.pth'):
        load(tmp_path)


# --- weights that no model can use, and keys that do not fit --------------------------------------


VALUES = {
    'NaN': (lambda x: x * float('nan'), r'norm0\.weight: 24 NaN, 0 infinite of 24; use'),
    'infinity': (lambda x: x / 0, r'norm0\.weight: 0 NaN, 24 infinite of 24'),
    'int8': (lambda x: x.to(torch.int8), r'norm0\.weight: int8; allowed: float16, bfloat16'),
    'complex': (lambda x: x.to(torch.complex64), r'norm0\.weight: complex64; allowed'),
    'sparse': (lambda x: x.to_sparse(), r'norm0\.weight: sparse_coo; save dense tensors'),
    'quantised': (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), 'qint8; allowed'),
    'nested': (lambda x: torch.nested.nested_tensor([x, x[:3]]), 'nested; save dense tensors'),
    'no values': (lambda x: x.to('meta'), r'norm0\.weight: none; the file has only shapes'),
}


@pytest.mark.parametrize('kind', VALUES)
def test_values_that_no_model_can_use_are_refused(kind: str, tmp_path: Path) -> None:
    change, message = VALUES[kind]
    state = nano_state()
    state['norm0.weight'] = change(state['norm0.weight'])
    torch.save(state, tmp_path / 'x.pth')
    with pytest.raises(CheckpointError, match=f'1 with unusable values:\n.*{message}'):
        load(tmp_path / 'x.pth')
    model = torch.nn.ModuleDict({'backbone': DilateFormer(NANO[DilateFormer])})
    torch.save({f'backbone.{k}': v for k, v in state.items()}, tmp_path / 'whole.pth')
    with pytest.raises(CheckpointError, match=message):
        load_model(model, str(tmp_path / 'whole.pth'))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_the_models(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in nano_state().items()}
    torch.save(state, tmp_path / 'x.pth')
    weight = load(tmp_path / 'x.pth').stem[0].weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, state['stem.0.weight'].float())


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    state = nano_state()
    del state['norm1.weight']
    state |= {
        'norm9.weight': torch.ones(3),
        'norm2.weight': torch.ones(5),
        'norm3.weight': torch.full((192,), float('nan')),
    }
    torch.save(state, tmp_path / 'x.pth')
    with pytest.raises(CheckpointError) as error:
        load(tmp_path / 'x.pth')
    message = str(error.value)
    for part in ('1 missing in the file:\n  norm1.weight', '1 unknown to the model:\n  norm9',
                 '1 of another shape:\n  norm2.weight (5,) (here (96,))', '192 NaN'):  # fmt: skip
        assert part in message


@pytest.mark.parametrize('row', SMALLEST_FIRST)
@pytest.mark.parametrize('change', ['one too many', 'one too few'])
def test_a_key_too_many_or_too_few_names_the_nearest_variant(
    row: Variant, change: str, monkeypatch
) -> None:
    with torch.device('meta'):
        model = skeleton(row)
        state = model.state_dict()
        if change == 'one too many':
            state['stages.0.blocks.0.extra'] = torch.empty(3)
        else:
            del state[next(key for key in state if key.startswith('stages.2.blocks.0.'))]
    monkeypatch.setattr('backbones.checkpoints.load.read', lambda path: dict(state_dict=state))
    with pytest.raises(CheckpointError) as error:
        load_backbone(model, 'x.pth')
    same = row.arch.removesuffix('_384')  # their keys are the same
    nearest = f"closest variant is type='{row.cls.__name__}', arch='{same}'"
    assert nearest in str(error.value) and 'differs in 1 key' in str(error.value)


def test_a_resampled_position_table_is_said_with_both_sizes(tmp_path: Path) -> None:
    torch.save(timm_saver('volo_d1', 'volo_d1', ema=False), tmp_path / 'x.pth')
    row = variant('volo_d1')
    model = load_at(tmp_path / 'x.pth', row.cls, 24)
    assert 'pos_embed resampled from 14x14 to 24x24 cells' in str(model.loaded)
    model = load_at(tmp_path / 'x.pth', row.cls, 14)
    assert 'cells' not in str(model.loaded) and not model.loaded.resampled


def load_at(path: Path, cls: type, side: int):
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    model = cls('d1', pos_embed_size=side, init_cfg=init_cfg)
    model.init_weights()
    return model


def test_settings_of_init_cfg(tmp_path: Path) -> None:
    path = tmp_path / 'x.pth'
    torch.save({f'encoder.{k}': v for k, v in nano_state().items()}, path)
    model = load(path, map_location='cuda:7', prefix='encoder')  # map_location has no effect
    assert model.loaded.tensors == len(model.state_dict())
    with pytest.raises(CheckpointError, match=r"no key with the prefix 'net\.'; it has encoder"):
        load(path, prefix='net.')
    with pytest.raises(UserError, match='the keys type, checkpoint, revise_keys; checkpoint is'):
        load(path, revise_keys=[])


def test_a_file_of_another_backbone_is_named(tmp_path: Path) -> None:
    torch.save({'model': CSWin('tiny').state_dict()}, tmp_path / 'cswin.pth')
    with pytest.raises(CheckpointError, match="another model: type='CSWin', arch='tiny'"):
        load(tmp_path / 'cswin.pth', arch='tiny')


def test_reading_returns_the_content_without_what_is_dropped(tmp_path: Path) -> None:
    torch.save(dict(state_dict=nano_state(), args=argparse.Namespace(x=eval)), tmp_path / 'x.pth')
    assert 'builtins.eval' in refusal(tmp_path / 'x.pth')  # even as a value
    torch.save(dict(state_dict=nano_state(), args=argparse.Namespace(x=3)), tmp_path / 'x.pth')
    assert not vars(read(str(tmp_path / 'x.pth'))['args'])
