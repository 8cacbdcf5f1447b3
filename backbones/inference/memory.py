"""Checking that an image's masks or scores fit into memory before the system kills the process."""

import sys
from pathlib import Path

from backbones.errors import UserError

SCORE = 4  # bytes per class score and pixel; a mask takes one byte per pixel
MASKS = 100  # assumed instances per image if the model does not limit them
GIB = 1 << 30
INFO = Path('/proc/meminfo')


class TooLargeError(UserError):
    """The result for an image would not fit into memory."""


def check_memory(pixels: int, each: float, *, remedy: str) -> None:
    """Compare the memory that a result takes with the free memory.

    Args:
        pixels: number of pixels in the image.
        each: see `bytes_per_pixel`.
        remedy: what the user can do about it.

    Raises:
        TooLargeError: the result does not fit.
    """
    need, free = pixels * each, available()
    if need > free:
        raise TooLargeError(
            f'its {pixels / 1e6:.0f} megapixels need {need / GIB:.2f} GiB of memory for the '
            f'results, but only {free / GIB:.2f} GiB are free; {remedy}'
        )


def available() -> int:
    """Return the bytes of memory available without swapping, as estimated by Linux.

    Other systems give no estimate, so no image is refused there.
    """
    if not INFO.is_file():
        return sys.maxsize
    lines = INFO.read_text().splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith('MemAvailable:'))
    return int(kib) << 10
