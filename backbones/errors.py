"""Errors that a user can mend: the tools print them as one message, without a traceback."""

import contextlib
import difflib
import os
import sys
import traceback
from collections.abc import Iterable, Iterator

SHOWN = 12  # entries that an error lists


class UserError(ValueError):
    """Says what is wrong, with the value, what is allowed, and what to do."""


class MissingFileError(UserError, FileNotFoundError):
    """A file, folder or checkpoint that the user named is not there."""


class MissingOperatorError(UserError, ImportError):
    """The installed packages lack something that this model needs."""


class ArgumentError(UserError, TypeError):
    """An argument that a function does not have."""


class CheckpointError(UserError):
    """A checkpoint that cannot be read, or does not fit the model."""


class UnreadableError(UserError):
    """An image, or a label map, that cannot be read."""

    def __init__(self, message: str) -> None:
        # PyTorch makes another one of the whole traceback, when a worker has raised the first
        super().__init__(message.rsplit(f'{type(self).__name__}: ')[-1].strip())


def did_you_mean(word: str, known: Iterable[str], *, closeness: float = 0.6) -> str:
    """Suggest what comes close to a misspelt word.

    Args:
        word: what was typed.
        known: what might have been meant.
        closeness: from 0, anything, to 1, the word itself.

    Returns:
        "; did you mean 'x' or 'y'?", or '' if nothing comes close.
    """
    close = difflib.get_close_matches(str(word), list(known), n=3, cutoff=closeness)
    return f'; did you mean {" or ".join(map(repr, close))}?' if close else ''


def shown(text: object) -> str:
    """A text in one line, in which what nobody could see stands as an escape, as `\\n`."""
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def listed(entries: Iterable) -> str:
    """The first entries, and how many more there are."""
    names = list(map(str, entries))
    more = f', ... and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more


def first_line(error: BaseException) -> str:
    """What an error says, in one line; one without words, such as an assertion, by its code."""
    code = traceback.extract_tb(error.__traceback__)[-1].line if error.__traceback__ else ''
    line = (str(error).strip() or code or '').partition('\n')[0]
    return f'{type(error).__name__}: {" ".join(line.split()).rstrip(".")}'


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """End the program with one message for what its user can mend.

    Any other error keeps its traceback; with DENSE_BACKBONES_TRACEBACK set, these do, too.
    """
    try:
        yield
    except UserError as error:
        if os.environ.get('DENSE_BACKBONES_TRACEBACK'):
            raise
        sys.stdout.flush()
        sys.exit(f'error: {error}')
