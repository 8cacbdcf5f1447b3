"""Report failures during training in one line, after saving the progress made so far."""

import contextlib
import errno
import traceback
from collections.abc import Iterator

from mmengine.runner import Runner

from backbones import atomic_write
from backbones.errors import UserError, first_line
from backbones.openmmlab import console
from backbones.openmmlab.remedies import remedy
from backbones.training.signals import SignalHook, save_now

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE)
KILLED = 'DataLoader worker'  # in PyTorch's message, whether the worker was killed or exited


@contextlib.contextmanager
def saving(runner: Runner, hook: SignalHook) -> Iterator[None]:
    """Train, and save the progress if training fails.

    The state is consistent between iterations, for example if the next batch cannot be loaded, and
    during validation. After a failure within an iteration, only the last checkpoint remains.

    Args:
        runner: the runner of the training run.
        hook: registered with the runner.

    Raises:
        UserError: validation failed, a data loader's worker was killed, or the disk is full, in
            one line; the traceback is in the log file.
        Exception: any other, unchanged.
    """
    try:
        yield
    except Exception as error:
        disk = isinstance(error, OSError) and error.errno in DISK
        saved = '' if disk else _save(runner, hook)
        cause = _cause(error, hook.place, runner.iter)
        if not cause:
            raise
        console.to_the_file(runner.logger, traceback.format_exc())
        raise UserError(
            f'{cause} (traceback in {runner.logger.log_file}){saved}. To continue: {hook.command}'
        ) from error
    finally:
        hook.restore()


@contextlib.contextmanager
def once_trained(runner: Runner) -> Iterator[None]:
    """Write the results page after a completed training run.

    Raises:
        UserError: the page could not be written; nothing else is lost.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        console.to_the_file(runner.logger, traceback.format_exc())
        raise UserError(
            'training is complete and saved, but the results page could not be written: '
            f'{first_line(error)} (traceback in {runner.logger.log_file})'
        ) from error


def _save(runner: Runner, hook: SignalHook) -> str:
    """Save, unless saving itself failed; return a text about what was done."""
    if hook.place not in ('between', 'validation') or not runner.iter:
        return ''
    with contextlib.suppress(UserError):  # a full disk, or weights with NaN or Inf
        hook.take_training_weights(runner)
        saved = f'stopped after iteration {runner.iter}, {save_now(runner, runner.iter)}'
        runner.logger.info(saved)
        return f'; {saved}'
    return '; only the last checkpoint remains'


def _cause(error: Exception, place: str, iteration: int) -> str:
    """Describe the cause if one line is enough; otherwise return ''."""
    if isinstance(error, UserError):
        return ''
    lost = place == 'between' and isinstance(error, ConnectionError | EOFError)  # with its batch
    if KILLED in str(error) or lost:
        return (
            f'a data-loading process was killed from outside, often for lack of memory '
            f'({first_line(error)}): lower train_dataloader.num_workers or batch_size'
        )
    if isinstance(error, OSError) and error.errno in DISK:
        where = f' {error.filename}' if error.filename else ''
        reason = atomic_write.REASONS[error.errno]
        return f'cannot write{where}: {reason}; the last checkpoint is intact'
    if said := remedy(error):
        return f'iteration {iteration + 1} failed: {first_line(error)}{said}'
    if place == 'validation':
        return f'validation after iteration {iteration} failed: {first_line(error)}'
    return ''
