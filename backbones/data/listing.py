"""Which files lie in a folder, and the lines of a text."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')


def list_images(folder: Path) -> list[Path]:
    """Image files in a folder and below, sorted, whatever the case of their suffix."""
    return list_files(folder, SUFFIXES)


def list_files(folder: Path, suffixes: tuple[str, ...] = ()) -> list[Path]:
    """Files in a folder and below, sorted; with `suffixes`, in lower case, those alone."""
    return sorted(p for p in walk(folder)
                  if (not suffixes or p.suffix.lower() in suffixes) and p.is_file())  # fmt: skip


def directly_in(folder: Path) -> list[Path]:
    """What lies in a folder itself, sorted; nothing, if there is none or it may not be read.

    For a folder that a file of the dataset names: below it may lie the whole disk.
    """
    try:
        return sorted(visible(folder.iterdir()))
    except (OSError, ValueError):  # the latter of a NUL in its name
        return []


def walk(folder: Path) -> Iterator[Path]:
    """All but folders, in a folder and below; links are followed, each real folder once."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link to where we have been, perhaps to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from visible(Path(place, name) for name in files)


def read_lines(file: Path) -> list[str]:
    """Lines of a text that are not blank, without what Windows adds."""
    text = file.read_text(encoding='utf-8-sig', errors='surrogateescape')
    return [line for line in map(str.strip, text.splitlines()) if line]


def visible(paths: Iterable[Path]) -> Iterator[Path]:
    """All but hidden files: macOS leaves ._a.jpg beside a.jpg, and MMEngine does not see such."""
    return (path for path in paths if not path.name.startswith('.'))
