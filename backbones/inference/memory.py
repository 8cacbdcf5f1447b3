"""Refusing an image that does not fit into memory before the system kills the process."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from backbones.errors import UserError

SCORE = 4  # bytes per class score and pixel; a mask takes one byte per pixel
MASKS = 100  # assumed instances per image if the model does not limit them
GIB = 1 << 30
INFO, OWN = Path('/proc/meminfo'), Path('/proc/self/status')


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


@contextlib.contextmanager
def only_free_memory(on_cpu: bool) -> Iterator[None]:
    """Context in which allocating more memory than is free is an error.

    Otherwise Linux grants what it does not have, and kills the process that uses it. What a model
    needs for an image is not known in advance. The limit is that of the process, so this is for
    programs, not for libraries.

    Args:
        on_cpu: without effect otherwise, since a GPU's driver reserves more than it uses.
    """
    if not on_cpu or not INFO.is_file():
        yield
        return
    import resource  # on Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    free = _bytes(OWN, 'VmData:') + available()
    limit = free if soft == resource.RLIM_INFINITY else min(free, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def available() -> int:
    """Return the bytes of memory available without swapping, as estimated by Linux.

    Other systems give no estimate, so no image is refused there.
    """
    return _bytes(INFO, 'MemAvailable:') if INFO.is_file() else sys.maxsize


def _bytes(info: Path, name: str) -> int:
    """Return the bytes that a line of the system's information states in KiB."""
    (kib,) = (line.split()[1] for line in info.read_text().splitlines() if line.startswith(name))
    return int(kib) << 10
