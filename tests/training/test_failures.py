"""A failure in the middle of a training run gives one line, and the progress is saved."""

import errno
import logging
import os
import re
import signal
from pathlib import Path

import pytest
import runners
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from runners import small_runner
from torch.utils.data import get_worker_info

from backbones.errors import UserError
from backbones.openmmlab.remedies import with_remedies
from backbones.openmmlab.runner import _tell_once
from backbones.training.failures import saving
from backbones.training.signals import SignalHook


class Fail(Hook):
    """Raise at one place of a training run."""

    priority = 'BELOW_NORMAL'  # as the logger: after averages are swapped, before schedules

    def __init__(self, place: str, iteration: int, error: Exception) -> None:
        def act(runner: Runner, *_: object, **__: object) -> None:
            if runner.iter == iteration:
                raise error

        setattr(self, place, act)


def run(work_dir: Path, *hooks: Hook, **settings) -> tuple[Runner, SignalHook]:
    stopping = SignalHook('COMMAND --resume')
    every = [stopping, *hooks]
    return small_runner(work_dir, custom_hooks=every, **settings), stopping


def train(runner: Runner, stopping: SignalHook) -> str:
    """Return what a failing training run prints."""
    with pytest.raises(UserError) as error, saving(runner, stopping):
        runner.train()
    assert '\n' not in str(error.value) and 'COMMAND --resume' in str(error.value)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    return str(error.value)


def state(path: Path, entry: str = 'state_dict') -> dict:
    return torch.load(path)[entry]


@pytest.mark.parametrize('place', ['before_val_iter', 'after_val_epoch'])
def test_a_validation_that_raises_loses_nothing(place: str, tmp_path: Path) -> None:
    """With averaged weights, the model has these until the end of the validation."""
    average = dict(type='EMAHook', momentum=0.5)
    options = dict(checkpoint=dict(interval=-1), scores=[0.1, 0.2, 0.3])
    whole, _ = run(tmp_path / 'whole', average, **options)
    whole.train()
    said = train(*run(tmp_path, average, Fail(place, 4, TypeError('no such metric')), **options))
    assert 'validation after iteration 4 failed: TypeError: no such metric' in said
    assert f'saved as {tmp_path}/iter_4.pth' in said
    options['scores'] = [0.2, 0.3]
    run(tmp_path, average, resume=True, **options)[0].train()
    for entry in ('state_dict', 'ema_state_dict'):
        saved = [state(folder / 'iter_6.pth', entry) for folder in (tmp_path / 'whole', tmp_path)]
        assert all(torch.equal(saved[0][name], saved[1][name]) for name in saved[0])


def test_a_metric_that_raises_is_a_line_and_the_log_has_the_traceback(tmp_path: Path) -> None:
    said = train(*run(tmp_path, scores=[0.1], log_level='INFO'))  # has no second score
    assert 'validation after iteration 4 failed: StopIteration' in said
    (log,) = tmp_path.glob('*/*.log')
    assert 'Traceback' in log.read_text() and str(log) in said


class Touch(Hook):
    """Create a file after two iterations."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def after_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        if runner.iter == 1:
            self.path.touch()


@pytest.mark.parametrize('workers', [1, 2])
def test_a_killed_loader_worker_loses_nothing(workers: int, tmp_path: Path, monkeypatch) -> None:
    whole, _ = run(tmp_path / 'whole', iterations=12)
    whole.train()
    original, go = runners.Numbers.__getitem__, tmp_path / 'go'

    def kill(self: object, index: int) -> dict:
        if get_worker_info() and go.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, index)

    monkeypatch.setattr(runners.Numbers, '__getitem__', kill)
    options = dict(iterations=12, checkpoint=dict(interval=-1))
    said = train(*run(tmp_path, Touch(go), workers=workers, **options))
    assert 'was killed from outside' in said and 'num_workers' in said and 'saved as' in said
    monkeypatch.undo()
    reached = torch.load(tmp_path / 'last.pth')['meta']['iter']
    assert 2 <= reached < 12
    again, _ = run(tmp_path, iterations=12, resume=True)
    again.train()
    assert torch.equal(again.model.map.weight, whole.model.map.weight)


@pytest.mark.parametrize('place', ['after_train_iter', 'before_val_iter'])
def test_a_full_disk_in_any_writer_is_one_line(place: str, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, 'No space left on device', 'scalars.json')
    said = train(*run(tmp_path, Fail(place, 4, full), scores=[0.1, 0.2]))
    assert said.startswith('cannot write scalars.json: the disk is full: free some space')
    assert (tmp_path / 'last.pth').samefile(tmp_path / 'iter_4.pth')


def test_an_error_in_an_iteration_keeps_its_traceback_and_saves_nothing(tmp_path: Path) -> None:
    runner, stopping = run(tmp_path, Fail('after_train_iter', 3, KeyError('bug')))
    with pytest.raises(KeyError), saving(runner, stopping):
        runner.train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_2.pth', 'last.pth']


def test_an_error_while_loading_keeps_its_traceback_and_the_state_is_saved(
    tmp_path: Path, monkeypatch
) -> None:
    original, drawn = runners.Numbers.__getitem__, []

    def fail(self: object, index: int) -> dict:
        drawn.append(index)
        if len(drawn) > 6:
            raise KeyError('bug')
        return original(self, index)

    monkeypatch.setattr(runners.Numbers, '__getitem__', fail)
    runner, stopping = run(tmp_path)
    with pytest.raises(KeyError), saving(runner, stopping):
        runner.train()
    assert torch.load(tmp_path / 'last.pth')['meta']['iter'] == 3


def test_a_log_that_cannot_be_written_is_told_once(tmp_path: Path, capsys) -> None:
    handler = logging.FileHandler('/dev/full')
    handler.handleError = _tell_once(handler)
    for _ in range(2):
        handler.emit(logging.LogRecord('x', logging.INFO, '', 0, 'text', None, None))
    said = capsys.readouterr().err
    assert said.count('/dev/full is incomplete: [Errno 28]') == 1 and 'Traceback' not in said


@pytest.mark.parametrize(
    'error, said',
    [
        (ValueError('Expected more than 1 value per channel when training, got input size x'),
         'iteration 4 failed: ValueError: Expected more than .*drop_last=True'),
        (RuntimeError('stack expects each tensor to be equal size, but got'),
         'the images of a batch differ in size: crop or resize them in the pipeline'),
    ],
)  # fmt: skip
def test_what_the_libraries_say_comes_with_the_remedy(
    error: Exception, said: str, tmp_path: Path
) -> None:
    assert re.search(said, train(*run(tmp_path, Fail('before_train_iter', 3, error))))
    with pytest.raises(UserError, match=said.partition(': ')[2]), with_remedies():
        raise error
    with pytest.raises(KeyError), with_remedies():
        raise KeyError('bug')
