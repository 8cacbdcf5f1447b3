"""Listing the files of a folder and the lines of a text file."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

T = TypeVar('T')
FIRST = 2000  # files that show what a folder is
HEAD = 1 << 16  # characters at the beginning of a file that show what it is
SUFFIXES = ('.bmp', '.jfif', '.jpeg', '.jpg', '.npy', '.png', '.tif', '.tiff', '.webp')


def list_images(folder: Path) -> list[Path]:
    """List image files in a folder and below, sorted, with suffixes in any case."""
    return list_files(folder, SUFFIXES)


def list_files(folder: Path, suffixes: tuple[str, ...] = ()) -> list[Path]:
    """List files in a folder and below, sorted; only those with lower-case `suffixes`, if given."""
    return sorted(p for p in walk(folder)
                  if (not suffixes or p.suffix.lower() in suffixes) and p.is_file())  # fmt: skip


def first_files(folder: Path) -> Iterator[Path]:
    """Yield the first files in a folder and below, which may have a great many."""
    return islice(walk(folder), FIRST)


def first_images(folder: Path) -> list[Path]:
    """Return the images among `first_files`."""
    return [path for path in first_files(folder) if path.suffix.lower() in SUFFIXES]


def directly_in(folder: Path) -> list[Path]:
    """List a folder's direct entries, sorted; none if it does not exist or is not readable.

    For folders named in a file of the dataset, which may contain the whole disk.
    """
    try:
        return sorted(visible(folder.iterdir()))
    except (OSError, ValueError):  # ValueError: the name contains a NUL
        return []


def shallow(folder: Path, suffix: str) -> list[Path]:
    """List entries with a lower-case suffix in a folder and directly below it."""
    folders = [folder, *(path for path in directly_in(folder) if path.is_dir())]
    return [p for f in folders for p in directly_in(f) if p.suffix.lower() == suffix]


def grouped(entries: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """Group paths, or names, by a key such as the name, in their order."""
    found: dict[str, list[T]] = {}
    for entry in entries:
        found.setdefault(key(entry), []).append(entry)
    return found


def walk(folder: Path) -> Iterator[Path]:
    """Yield files in a folder and below; links are followed, each real folder is visited once."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link to a visited folder, perhaps a parent
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(place, name) for name in files if not name.startswith('.'))


def start_of(file: Path) -> str:
    """Read the beginning of a text file; '' if it is no file but a pipe, say, which would block."""
    try:
        if file.is_file():
            with file.open(encoding='utf-8', errors='replace') as opened:
                return opened.read(HEAD).replace('\0', '')  # UTF-16 has them
    except OSError:
        pass
    return ''


def read_lines(file: Path) -> list[str]:
    """Read the non-blank lines of a text file, without BOM and carriage returns."""
    text = file.read_text(encoding='utf-8-sig', errors='surrogateescape')
    return [line for line in map(str.strip, text.splitlines()) if line]


def visible(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files that are not hidden: macOS leaves ._a.jpg beside a.jpg, and MMEngine skips it."""
    return (path for path in paths if not path.name.startswith('.'))
