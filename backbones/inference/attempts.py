"""Catching failures on one image, so that the others are still processed."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import cv2

from backbones.errors import UnreadableError
from backbones.inference.memory import TooLargeError

# words of PyTorch, OpenCV and the runtimes of exported files
OUT_OF_MEMORY = re.compile(
    "can't allocate memory|not enough memory|Failed to allocate|Insufficient|out of memory"
)
Given = TypeVar('Given')
Made = TypeVar('Made')


def attempt(act: Callable[[Given], Made], given: Given) -> Made | Exception:
    """Apply a function to images.

    Returns:
        Its result; an UnreadableError or a TooLargeError if an image is unreadable or too large.
    """
    try:
        return act(given)
    except (UnreadableError, TooLargeError) as error:
        return error
    except (MemoryError, RuntimeError, cv2.error) as error:
        if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        if type(error).__name__ == 'OutOfMemoryError':  # PyTorch's, which need not be installed
            return TooLargeError('the GPU has too little memory for it; try --tile N')
        return TooLargeError('there is too little memory for it; shrink it, or try --tile N')


def batched(entries: Iterable[Given], number: int) -> Iterator[list[Given]]:
    """Yield the entries in lists of `number`; the last list may be shorter."""
    rest = iter(entries)
    while some := list(itertools.islice(rest, number)):
        yield some
