"""What fails in the middle of a training is one line, and what was reached is saved first."""

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
KILLED = 'DataLoader worker'  # PyTorch says so, whether it is killed or exits


@contextlib.contextmanager
def saving(runner: Runner, hook: SignalHook) -> Iterator[None]:
    """Run a training; save what it has reached if it fails.

    Between two iterations, as where the next batch cannot be loaded, and in a validation the state
    is whole; what fails in the middle of an iteration leaves the last checkpoint.

    Args:
        runner: of the training.
        hook: registered with it.

    Raises:
        UserError: a validation that fails, a worker of the loader that was killed, a disk that is
            full, in one line; the traceback is in the log file.
        Exception: any other, as it was.
    """
    try:
        yield
    except Exception as error:
        disk = isinstance(error, OSError) and error.errno in DISK
        saved = '' if disk else _save(runner, hook, error)
        cause = _cause(error, hook.place, runner.iter)
        if not cause:
            raise
        console.to_the_file(runner.logger, traceback.format_exc())
        raise UserError(
            f'{cause} (the traceback is in {runner.logger.log_file}){saved}. To continue: '
            f'{hook.command}'
        ) from error
    finally:
        hook.restore()


@contextlib.contextmanager
def once_trained(runner: Runner) -> Iterator[None]:
    """Write the results page of a training that has ended well.

    Raises:
        UserError: it could not be written, which costs nothing else.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        console.to_the_file(runner.logger, traceback.format_exc())
        raise UserError(
            'the training is complete and saved, but its results page could not be written: '
            f'{first_line(error)} (the traceback is in {runner.logger.log_file})'
        ) from error


def _save(runner: Runner, hook: SignalHook, error: Exception) -> str:
    """Save, unless it is saving that failed; returns what was done, in words."""
    if hook.place not in ('between', 'validation') or not runner.iter:
        return ''
    with contextlib.suppress(UserError):  # a disk that is full, or weights that are not finite
        hook.take_training_weights(runner)
        saved = f'stopped after iteration {runner.iter}, {save_now(runner, runner.iter)}'
        runner.logger.info(saved)
        return f'; {saved}'
    return '; the last checkpoint is what is left'


def _cause(error: Exception, place: str, iteration: int) -> str:
    """What happened, if it is to be told in a line."""
    if isinstance(error, UserError):
        return ''
    lost = place == 'between' and isinstance(error, ConnectionError | EOFError)  # with its batch
    if KILLED in str(error) or lost:
        return (
            f'a process that loads data was ended from outside, often because the memory is too '
            f'small ({first_line(error)}): lower train_dataloader.num_workers or batch_size'
        )
    if isinstance(error, OSError) and error.errno in DISK:
        where = f' {error.filename}' if error.filename else ''
        reason = atomic_write.REASONS[error.errno]
        return f'cannot write{where}: {reason}; the last checkpoint is whole'
    if said := remedy(error):
        return f'iteration {iteration + 1} failed: {first_line(error)}{said}'
    if place == 'validation':
        return f'the validation after iteration {iteration} failed: {first_line(error)}'
    return ''
