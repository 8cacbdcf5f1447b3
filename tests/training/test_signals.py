"""Signals and bad numbers end a training run cleanly."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from mmengine.hooks import Hook
from mmengine.runner import Runner
from runners import small_runner

from backbones.errors import UserError
from backbones.training.nan_guard import FiniteLossHook
from backbones.training.signals import SIGNALS, SignalHook


class Send(Hook):
    """Send this process a signal before an iteration, or in the evaluation after it."""

    def __init__(self, number: int, iteration: int, *, in_evaluation: bool = False) -> None:
        self.place = (number, iteration, in_evaluation)

    def before_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        self._send(runner.iter + 1, False)

    def before_val_iter(self, runner: Runner, *_: object, **__: object) -> None:
        self._send(runner.iter, True)

    def _send(self, iteration: int, in_evaluation: bool) -> None:
        if (iteration, in_evaluation) == self.place[1:]:
            os.kill(os.getpid(), self.place[0])


def run(work_dir: Path, *hooks: Hook, **settings) -> Runner:
    hooks = [SignalHook('COMMAND --resume'), *hooks]
    return small_runner(work_dir, custom_hooks=hooks, **settings)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[list]:
    """Restore the handlers for later tests, because a run ended by a signal keeps its own."""
    before = [signal.getsignal(n) for n in SIGNALS]
    yield before
    for n, handler in zip(SIGNALS, before):
        signal.signal(n, handler)


def state(path: Path) -> dict:
    return torch.load(path)


@pytest.mark.parametrize('number', SIGNALS)
def test_a_signal_ends_the_iteration_saves_and_says_how_to_go_on(
    number: int, tmp_path: Path, capsys, handlers: list
) -> None:
    whole = run(tmp_path / 'whole')
    whole.train()
    with pytest.raises(SystemExit) as end:
        run(tmp_path, Send(number, 3), log_level='INFO').train()
    for n, handler in zip(SIGNALS, handlers):
        signal.signal(n, handler)
    assert end.value.code == 128 + number
    said = capsys.readouterr()
    assert (
        f'{signal.Signals(number).name}: stopped after iteration 3, saved as' in said.out + said.err
    )
    assert 'COMMAND --resume' in said.out + said.err
    assert state(tmp_path / 'iter_3.pth')['meta']['iter'] == 3
    again = run(tmp_path, resume=True)
    again.train()
    assert torch.equal(again.model.map.weight, whole.model.map.weight)
    assert [signal.getsignal(n) for n in SIGNALS] == handlers


def test_a_signal_in_the_middle_of_an_epoch_loses_none_of_it(tmp_path: Path) -> None:
    options = dict(
        train_cfg=dict(by_epoch=True, max_epochs=2),
        sampler='DefaultSampler',
        checkpoint=dict(by_epoch=True, interval=1, max_keep_ckpts=1),
    )
    whole = run(tmp_path / 'whole', **options)
    whole.train()
    with pytest.raises(SystemExit):
        run(tmp_path, Send(signal.SIGTERM, 6), **options).train()
    assert (tmp_path / 'last.pth').samefile(tmp_path / 'epoch_1_iter_6.pth')
    again = run(tmp_path, resume=True, **options)
    again.train()
    assert torch.equal(again.model.map.weight, whole.model.map.weight) and again.iter == 8
    assert sorted(p.name for p in tmp_path.glob('*.pth')) == ['epoch_2.pth', 'last.pth']


def test_a_signal_in_an_evaluation_saves_the_training_weights(tmp_path: Path) -> None:
    """With averaged weights, which the model has during the evaluation; that is repeated."""
    options = dict(scores=[0.1, 0.2, 0.3], checkpoint=dict(interval=-1, save_best='acc'))
    average = dict(type='EMAHook', momentum=0.5)
    whole = small_runner(tmp_path / 'whole', custom_hooks=[average], **options)
    whole.train()
    send = Send(signal.SIGTERM, 4, in_evaluation=True)
    with pytest.raises(SystemExit):
        run(tmp_path, average, send, **options).train()
    options['scores'] = [0.2, 0.3]
    again = run(tmp_path, average, resume=True, **options)
    again.train()
    for key in ('state_dict', 'ema_state_dict'):
        saved = [state(folder / 'iter_6.pth')[key] for folder in (tmp_path / 'whole', tmp_path)]
        assert all(torch.equal(saved[0][name], saved[1][name]) for name in saved[0])


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_a_loss_that_is_no_number_stops_at_once_and_nothing_is_saved(
    value: float, tmp_path: Path
) -> None:
    runner = small_runner(tmp_path, custom_hooks=[FiniteLossHook()])
    step = runner.model.train_step

    def spoil(*args: object, **kwargs: object) -> dict:
        outputs = step(*args, **kwargs)
        return outputs if runner.iter < 3 else outputs | dict(loss_box=torch.tensor(value))

    runner.model.train_step = spoil
    message = f'loss_box is {value} at iteration 4, learning rate 0.01.*clip_grad'
    with pytest.raises(UserError, match=message) as error:
        runner.train()
    assert '\n' not in str(error.value)
    assert sorted(p.name for p in tmp_path.glob('*.pth')) == ['iter_2.pth', 'last.pth']


def test_slurm_queues_a_training_again_whose_time_was_up(tmp_path: Path) -> None:
    """A script in the place of srun ends with SIGUSR1's code, and then with 0."""
    calls = tmp_path / 'calls'
    srun = tmp_path / 'srun'
    srun.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n[ $(wc -l < {calls}) -gt 1 ] && exit 0\nexit 138\n'
    )
    srun.chmod(0o755)
    path = f'{tmp_path}:{os.environ["PATH"]}'
    command = ['bash', str(ROOT / 'tools/slurm_train.sh'), 'gpu', 'job', 'a.py', '--amp']
    environment = {k: v for k, v in os.environ.items() if not k.startswith('SLURM')}
    subprocess.run(command, env={**environment, 'PATH': path}, check=True)
    first, second = calls.read_text().splitlines()
    assert '--signal=USR1@120' in first and first.endswith('a.py --amp --launcher slurm')
    assert second.endswith('a.py --amp --resume --launcher slurm')
