"""Inspecting many image files in threads."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from PIL import Image
from rich.console import Console
from rich.progress import track

THREADS = 8  # reading waits for the disk, and decoding releases Python's interpreter lock
PROGRESS = 500  # number of files that makes a progress bar worthwhile


@contextmanager
def large_images() -> Iterator[None]:
    """Let Pillow open images beyond its decompression bomb limit, as aerial photographs are."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about odd EXIF and TIFF tags
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def in_parallel(work: Callable, items: Iterable, *, title: str, progress: bool) -> list:
    """Apply a function to items in threads, and return the results in order."""
    items = list(items)
    with large_images(), ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(work, items)
        if not progress or len(items) < PROGRESS:
            return list(results)
        console = Console(stderr=True)
        return list(track(results, title, total=len(items), console=console, transient=True))
