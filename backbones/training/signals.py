"""SIGTERM, SIGINT and SIGUSR1 end a training in order: saved, and with the command to go on."""

import os
import signal
from collections.abc import Callable
from types import FrameType

import torch
from mmengine.dist import all_reduce, barrier, get_world_size
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from backbones.openmmlab.compat import save_at, swap_averages

# of a shell or a cluster, of Ctrl-C, and of Slurm before a job's time is up
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
Handler = Callable[[int, FrameType | None], object] | int | None


@HOOKS.register_module()
class SignalHook(Hook):
    """Finish the iteration, save, say how to go on, and exit with 128 + the signal's number.

    All processes stop at the same iteration, whichever got the signal. An evaluation is left at
    once, to be made again after the resume, but with several processes it is finished first. In a
    single process a second Ctrl-C has its usual effect.

    It also knows where the training is, for `failures`.

    Args:
        command: what resumes the training.

    Attributes:
        place: 'start', 'iteration', 'validation', or 'between' them.
    """

    priority = 'LOWEST'  # after schedules, averaged weights and checkpoints

    def __init__(self, command: str) -> None:
        self.command = command
        self.received = 0
        self.before: dict[int, Handler] = {}
        self.place = 'start'
        self.validated: Tensor | None = None

    def before_train(self, runner: Runner) -> None:
        self.process = os.getpid()
        self.before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        self.place = 'between'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        # PyTorch's handler would raise in the middle of a step when a worker of a loader is killed;
        # without it the loader does, at the next batch
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.place = 'iteration'

    def before_val(self, runner: Runner) -> None:
        self.validated = _some_weights(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        self.place = 'validation'

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self.place = 'between'

    def after_train(self, runner: Runner) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: object = None,
        outputs: dict | None = None,
    ) -> None:
        self.place = 'between'
        number = self.received
        if get_world_size() > 1:
            received = torch.tensor(number)
            all_reduce(received, 'max')
            number = int(received)
        if number:
            self._end(runner, number, runner.iter + 1)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: object = None,
        outputs: object = None,
    ) -> None:
        # processes may have different numbers of images: they could not agree here
        if self.received and get_world_size() == 1:
            self.take_training_weights(runner)
            self._end(runner, self.received, runner.iter)

    def take_training_weights(self, runner: Runner) -> None:
        """Let the model have the weights of the training, not averages as in a validation."""
        if self.validated is None or torch.equal(self.validated, _some_weights(runner)):
            return
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                swap_averages(hook)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self.process:  # loaders' workers inherit this
            self.received = number
            if number == signal.SIGINT and get_world_size() == 1:
                signal.signal(number, self.before[number])  # torchrun passes Ctrl-C on, once more

    def _end(self, runner: Runner, number: int, iteration: int) -> None:
        """Save what was reached, unless it was saved just now, and exit."""
        name = signal.Signals(number).name
        saved = save_now(runner, iteration)
        runner.logger.info(f'{name}: stopped after iteration {iteration}, {saved}. To go on:')
        runner.logger.info(f'    {self.command}')
        barrier()  # launchers kill the others when one has ended
        raise SystemExit(128 + number)


def save_now(runner: Runner, iteration: int) -> str:
    """Save as the training's checkpoint hook does, also in the middle of an epoch.

    Args:
        runner: of a training between two iterations.
        iteration: how many are complete.

    Returns:
        Which file was saved, in words.
    """
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None:
        return 'not saved: the config has no checkpoint hook'
    step = f'{runner.epoch}_iter_{iteration}' if hook.by_epoch else iteration
    path = hook.file_backend.join_path(hook.out_dir, hook.filename_tmpl.format(step))
    if path != hook.last_ckpt:
        save_at(hook, runner, step, dict(epoch=runner.epoch, iter=iteration))
    return f'saved as {path}'


def _some_weights(runner: Runner) -> Tensor:
    """A few numbers that each step changes."""
    trained = (weight for weight in runner.model.parameters() if weight.requires_grad)
    return next(trained).detach().flatten()[:64].clone()
