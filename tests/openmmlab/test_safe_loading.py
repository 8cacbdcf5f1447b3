"""While a tool runs, no loaded file executes anything, and a resume loses nothing."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint
from runners import small_runner
from torch import nn

from backbones.errors import CheckpointError, UserError
from backbones.openmmlab.safe_loading import hand_on, histories, plain, safe_loading


class Touch:
    """Pickles as a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


class Foreign(BaseModule):
    """A module that is not ours, like a head, a neck or another backbone."""

    def __init__(self, **settings) -> None:
        super().__init__(**settings)
        self.map = nn.Linear(2, 2)


def evil(folder: Path) -> tuple[Path, Path]:
    path, mark = folder / 'evil.pth', folder / 'mark'
    torch.save(dict(state_dict=Foreign().state_dict(), args=Touch(mark)), path)
    return path, mark


LOADERS = {
    'init_cfg': lambda path: Foreign(
        init_cfg=dict(type='Pretrained', checkpoint=str(path))
    ).init_weights(),
    'init_cfg with prefix': lambda path: Foreign(
        init_cfg=dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    ).init_weights(),
    'load_checkpoint': lambda path: load_checkpoint(Foreign(), str(path)),
    'CheckpointLoader': lambda path: CheckpointLoader.load_checkpoint(str(path)),
    'a file:// address': lambda path: CheckpointLoader.load_checkpoint(f'file://{path}'),
}


@pytest.mark.parametrize('name', LOADERS)
def test_nothing_that_mmengine_loads_is_executed(name: str, tmp_path: Path) -> None:
    path, mark = evil(tmp_path)
    with safe_loading(), pytest.raises(UserError):
        LOADERS[name](path)
    assert not mark.exists()


def test_modules_that_are_not_ours_still_get_their_weights(tmp_path: Path) -> None:
    source = Foreign()
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'good.pth')
    made = Foreign(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'good.pth')))
    with safe_loading():
        made.init_weights()
    assert torch.equal(made.map.weight, source.map.weight)


def test_mmengines_loaders_come_back(tmp_path: Path) -> None:
    before = dict(CheckpointLoader._schemes)
    with safe_loading():
        assert {loader.__name__ for loader in CheckpointLoader._schemes.values()} == {
            'load_from_safe_reader'
        }
    assert dict(CheckpointLoader._schemes) == before


@pytest.mark.parametrize(
    'name, message',
    [
        ('s3://bucket/x.pth', r's3://bucket/x\.pth: checkpoints can be read from paths'),
        ('torchvision://resnet5', r"'resnet5' is unknown to MMEngine; did you mean 'resnet50'"),
        ('open-mmlab://detectron2/resnet50_caffe', None),
    ],
)
def test_names_in_mmengines_lists_are_addresses(
    name: str, message: str | None, monkeypatch
) -> None:
    asked = []
    monkeypatch.setattr(
        'backbones.openmmlab.safe_loading.read', lambda place: asked.append(place) or {}
    )
    with safe_loading():
        if message:
            with pytest.raises(UserError, match=message):
                CheckpointLoader.load_checkpoint(name)
        else:
            CheckpointLoader.load_checkpoint(name)
            assert asked[0].startswith('https://') and asked[0].endswith('.pth')


def test_the_config_in_a_checkpoint_is_not_run_at_a_resume(tmp_path: Path) -> None:
    small_runner(tmp_path, iterations=2).train()
    path, mark = tmp_path / 'iter_2.pth', tmp_path / 'mark'
    content = torch.load(path)
    content['meta']['config'] = f'import os\nos.mkdir({str(mark)!r})'
    torch.save(content, path)
    with safe_loading():
        runner = small_runner(tmp_path, iterations=4, resume=True, load_from=str(path))
        runner.train()
    assert runner.iter == 4 and not mark.exists()


def test_a_resume_gets_the_logs_and_the_best_metric(tmp_path: Path) -> None:
    hub = dict(
        log_scalars={'train/loss': HistoryBuffer([1.5, 2.5], [1, 2]), 'x': 'no log'},
        runtime_info=dict(best_score=np.float64(0.25), keep_ckpt_ids=[2, 4], iter=4),
        resumed_keys={'train/loss': True},
    )
    torch.save(dict(meta=dict(iter=4, epoch=0), message_hub=hub), tmp_path / 'x.pth')
    with safe_loading():
        found = CheckpointLoader.load_checkpoint(str(tmp_path / 'x.pth'))['message_hub']
    values, counts = found['log_scalars']['train/loss'].data
    assert values.tolist() == [1.5, 2.5] and counts.tolist() == [1, 2]
    assert [*found['log_scalars']] == ['train/loss']
    assert found['runtime_info'] == dict(best_score=0.25, keep_ckpt_ids=[2, 4], iter=4)


def test_logs_that_are_not_pairs_of_equal_length_are_left_out() -> None:
    one, two = torch.ones(1), torch.ones(2)
    pairs = dict(a=(two, two), b=(one, two), c=(two[None], two[None]), d=('x', two), e=(two, None))
    logs = {key: dict(values=values, counts=counts) for key, (values, counts) in pairs.items()}
    assert [*histories(dict(logs, f={}, g=3))] == ['a']


def test_what_is_not_plain_is_left_out(tmp_path: Path) -> None:
    """Hooks delete files that a checkpoint names, but only those beside it."""
    info = dict(best_ckpt='/etc/passwd', last_ckpt='/x/iter_4.pth', keep_ckpt_ids=['../x'], y=len)
    meta = dict(iter=4, epoch='x', config='import os', cfg='a = 1', env_info='x', seed=None)
    made = plain(dict(meta=meta, message_hub=dict(runtime_info=info)), tmp_path)
    assert made['meta'] == dict(iter=4, cfg='a = 1')
    assert made['message_hub']['runtime_info'] == dict(
        best_ckpt=str(tmp_path / 'passwd'),
        last_ckpt=str(tmp_path / 'iter_4.pth'),
        keep_ckpt_ids=[],
        y=None,
    )
    for broken in ([], None, 'x', dict(log_scalars=[1], runtime_info=3)):
        made = plain(dict(meta=broken, message_hub=broken), tmp_path)
        assert made['meta'] == {} and made['message_hub']['runtime_info'] == {}


def test_what_was_read_is_not_read_again(tmp_path: Path) -> None:
    with safe_loading():
        hand_on('gone.pth', dict(meta=dict(iter=3)))
        assert CheckpointLoader.load_checkpoint('gone.pth') == dict(meta=dict(iter=3))
        with pytest.raises(UserError):
            CheckpointLoader.load_checkpoint('gone.pth')


@pytest.mark.parametrize(
    'kind, data',
    [('f8', b'1234567'), ('O', b'12345678'), ('V8', b'12345678'), ('f8', 'text'), (None, b'')],
)
def test_numbers_of_another_kind_keep_nothing(kind: object, data: object) -> None:
    from backbones.checkpoints.arrays import NumberKind, Numbers, scalar

    assert not isinstance(scalar(NumberKind(kind), data), float)
    array = Numbers()
    array.__setstate__((1, (1,), NumberKind(kind), False, data))
    assert not hasattr(array, 'values')


def test_numbers_of_the_other_byte_order_keep_nothing() -> None:
    from backbones.checkpoints.arrays import NumberKind, scalar

    kind = NumberKind('f8')
    kind.__setstate__((3, '>', None, None, None, -1, -1, 0))
    assert not isinstance(scalar(kind, b'12345678'), float)


def test_an_array_without_all_its_bytes_keeps_nothing() -> None:
    from backbones.checkpoints.arrays import NumberKind, Numbers

    for shape in ((2,), (10**12,), (-1,), ('x',)):
        array = Numbers()
        array.__setstate__((1, shape, NumberKind('f8'), False, b'12345678'))
        assert not hasattr(array, 'values')


def test_the_reader_itself_refuses(tmp_path: Path) -> None:
    path, mark = evil(tmp_path)
    with safe_loading(), pytest.raises(CheckpointError, match=r'posix\.mkdir'):
        CheckpointLoader.load_checkpoint(str(path))
    assert not mark.exists()
