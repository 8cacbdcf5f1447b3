"""Errors that a user can fix: the tools print them as one message, without a traceback."""

import contextlib
import difflib
import errno
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

SHOWN = 12  # entries that an error lists


class UserError(ValueError):
    """An error that says what is wrong, with the value, what is allowed, and what to do."""


class MissingFileError(UserError, FileNotFoundError):
    """A file, folder or checkpoint that the user named does not exist."""


class MissingOperatorError(UserError, ImportError):
    """The installed packages lack something that this model needs."""


class ArgumentError(UserError, TypeError):
    """An argument that a function does not have, or of a type that it does not take."""


class CheckpointError(UserError):
    """A checkpoint that cannot be read, or does not fit the model."""


class UnreadableError(UserError):
    """An image, or a label map, that cannot be read."""

    def __init__(self, message: str) -> None:
        # PyTorch re-raises a worker's error with the whole traceback as its message
        super().__init__(message.rsplit(f'{type(self).__name__}: ')[-1].strip())


def installed(package: str, otherwise: str) -> ModuleType:
    """Import an optional package.

    Raises:
        MissingOperatorError: it is not installed, with the message `otherwise`.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise MissingOperatorError(otherwise) from error


def did_you_mean(word: str, known: Iterable[str], *, closeness: float = 0.6) -> str:
    """Suggest known words that are close to a misspelt one.

    Args:
        word: what the user typed.
        known: the valid words.
        closeness: from 0, which accepts anything, to 1, an exact match.

    Returns:
        "; did you mean 'x' or 'y'?", or '' if nothing is close.
    """
    spelt = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(word).lower(), spelt, n=3, cutoff=closeness)
    return f'; did you mean {" or ".join(repr(spelt[name]) for name in close)}?' if close else ''


def shown(text: object) -> str:
    """Return a text on one line, with invisible characters such as `\\n` escaped."""
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def listed(entries: Iterable) -> str:
    """Join the first entries, and say how many more there are."""
    names = list(map(str, entries))
    more = f', ... and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more


def first_line(error: BaseException) -> str:
    """Return an error's type and message on one line; the failed code if there is no message."""
    line = (str(error).strip() or _where(error)).partition('\n')[0]
    return f'{type(error).__name__}: {" ".join(line.split()).rstrip(".")}'


def _where(error: BaseException) -> str:
    """Return the line that raised an error, with file and number, skipping PyTorch's `_assert`."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.name != '_assert']
    if not frames:
        return ''
    *_, frame = frames
    return f'{frame.line} ({"/".join(Path(frame.filename).parts[-3:])}, line {frame.lineno})'


# errors of the operating system that name a file, a folder or a disk
OF_FILES = (
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE),
    *(errno.ENAMETOOLONG, errno.ELOOP),
)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """On an error that the user can fix, end the program with one message.

    Such errors are UserErrors, and errors of the operating system that name a file, such as a full
    disk or a missing folder. Ctrl-C ends it with one word and the code of shells, 130. Other errors
    keep their traceback; if DENSE_BACKBONES_TRACEBACK is set, so do these.
    """
    try:
        yield
    except KeyboardInterrupt:
        if os.environ.get('DENSE_BACKBONES_TRACEBACK'):
            raise
        print('interrupted', file=sys.stderr)
        sys.exit(130)
    except (UserError, OSError) as error:
        said = str(error)
        if isinstance(error, OSError) and error.errno in OF_FILES:
            said = f'{error.filename or "a file"}: {error.strerror}'
        elif not isinstance(error, UserError):
            raise
        if os.environ.get('DENSE_BACKBONES_TRACEBACK'):
            raise
        sys.stdout.flush()
        sys.exit(f'error: {said}')
