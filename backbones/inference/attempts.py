"""What is wrong with one image must not end the others."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import cv2
import torch

from backbones.errors import UnreadableError
from backbones.inference.memory import TooLargeError

# how PyTorch and OpenCV say it on CPUs
OUT_OF_MEMORY = re.compile(
    "can't allocate memory|not enough memory|Failed to allocate|Insufficient"
)
Given = TypeVar('Given')
Made = TypeVar('Made')


def attempt(act: Callable[[Given], Made], given: Given) -> Made | Exception:
    """Do something with images.

    Returns:
        What came of it; an UnreadableError or a TooLargeError if they are unreadable or too large.
    """
    try:
        return act(given)
    except (UnreadableError, TooLargeError) as error:
        return error
    except torch.OutOfMemoryError:
        return TooLargeError('the memory of the GPU is too small for it; try --tile N')
    except (MemoryError, RuntimeError, cv2.error) as error:
        if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        return TooLargeError('the memory is too small for it; make it smaller, or try --tile N')


def batched(entries: Iterable[Given], number: int) -> Iterator[list[Given]]:
    """The entries in lists of that number; the last may be shorter."""
    rest = iter(entries)
    while some := list(itertools.islice(rest, number)):
        yield some
