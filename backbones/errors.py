"""Errors that a user can mend: the tools print them as one message, without a traceback."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Says what is wrong, with the value, what is allowed, and what to do."""


class MissingFileError(UserError, FileNotFoundError):
    """A file, folder or checkpoint that the user named is not there."""


class MissingOperatorError(UserError, ImportError):
    """The installed packages lack something that this model needs."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest what comes close to a misspelt word.

    Returns:
        "; did you mean 'x' or 'y'?", or '' if nothing comes close.
    """
    close = difflib.get_close_matches(str(word), list(known), n=3)
    return f'; did you mean {" or ".join(map(repr, close))}?' if close else ''
