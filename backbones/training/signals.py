"""Save and exit cleanly on SIGTERM, SIGINT and SIGUSR1, with the command to continue."""

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

# sent by shells or clusters, by Ctrl-C, and by Slurm before a job's time limit
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
Handler = Callable[[int, FrameType | None], object] | int | None


@HOOKS.register_module()
class SignalHook(Hook):
    """Finish the iteration, save, print how to continue, exit with 128 + the signal's number.

    All processes stop at the same iteration, whichever got the signal. A single process aborts an
    evaluation at once and repeats it after the resume; several processes finish it first. In a
    single process, a second Ctrl-C has its usual effect.

    The hook also tracks the phase of the run, for `failures`.

    Args:
        command: the command that resumes the run.

    Attributes:
        place: 'start', 'iteration', 'validation', or 'between' them.
    """

    priority = 'LOWEST'  # after schedules, weight averaging and checkpoints

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
        # PyTorch's handler would raise in the middle of a step when a loader's worker is killed;
        # without it, the loader raises at the next batch
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
        """Restore the previous signal handlers."""
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
        # processes may have different numbers of images, so they cannot agree here
        if self.received and get_world_size() == 1:
            self.take_training_weights(runner)
            self._end(runner, self.received, runner.iter)

    def take_training_weights(self, runner: Runner) -> None:
        """Restore the training weights if validation has swapped in the averages."""
        if self.validated is None or torch.equal(self.validated, _some_weights(runner)):
            return
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                swap_averages(hook)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self.process:  # data loaders' workers inherit the handler
            self.received = number
            if number == signal.SIGINT and get_world_size() == 1:
                signal.signal(number, self.before[number])  # torchrun forwards Ctrl-C a second time

    def _end(self, runner: Runner, number: int, iteration: int) -> None:
        """Save the progress, unless it has just been saved, and exit."""
        name = signal.Signals(number).name
        saved = save_now(runner, iteration)
        runner.logger.info(f'{name}: stopped after iteration {iteration}, {saved}. To continue:')
        runner.logger.info(f'    {self.command}')
        barrier()  # launchers kill the others once one has ended
        raise SystemExit(128 + number)


def save_now(runner: Runner, iteration: int) -> str:
    """Save like the run's checkpoint hook, even in the middle of an epoch.

    Args:
        runner: a runner between two iterations.
        iteration: the number of completed iterations.

    Returns:
        A text that names the saved file.
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
    """Return a few numbers that change in each step."""
    trained = (weight for weight in runner.model.parameters() if weight.requires_grad)
    return next(trained).detach().flatten()[:64].clone()
