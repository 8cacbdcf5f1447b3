"""Finding the images named on the command line, and naming their results."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones.data.files.listing import SUFFIXES, walk
from backbones.errors import MissingFileError, UserError, did_you_mean, listed


@dataclass(frozen=True)
class Images:
    """Images to predict on.

    Args:
        inside: the files, each once and in order, with their paths relative to the named folder,
            or to the deepest folder that holds all files of a pattern. If two of these paths are
            equal, all are relative to the deepest folder that holds all files.
        others: number of files per other suffix in the folders and patterns.
    """

    inside: dict[Path, Path]
    others: Counter[str]

    def names(self) -> dict[Path, str]:
        """Return the name of each image's results, a path without a suffix.

        If two images differ only in their suffixes, all names keep theirs.
        """
        stems = {path: inside.with_suffix('').as_posix() for path, inside in self.inside.items()}
        if len(set(stems.values())) == len(stems):
            return stems
        return {path: inside.as_posix() for path, inside in self.inside.items()}


def find_images(arguments: Sequence[str], kinds: Sequence[str] = SUFFIXES) -> Images:
    """Find images by the paths of files and folders, and by patterns such as `photos/**/*.jpg`.

    A named file is used whatever its suffix; files in a folder or matching a pattern are used if
    they have one of the suffixes `kinds`.

    Raises:
        MissingFileError: arguments do not exist; the message names all of them.
        UserError: there are no images.
    """
    inside: dict[Path, Path] = {}
    others = Counter[str]()
    missing = []
    for argument in arguments:
        if os.path.isfile(argument):
            inside.setdefault(_absolute(argument), Path(Path(argument).name))
            continue
        folder = os.path.isdir(argument)
        matches = [argument] if folder else sorted(glob.glob(argument, recursive=True))
        if not matches:
            missing.append(argument)
            continue
        files = {_absolute(file) for match in matches for file in _files(Path(match))}
        images = sorted(file for file in files if file.suffix.lower() in kinds)
        others.update(file.suffix.lower() or file.name for file in files.difference(images))
        if images:
            base = _absolute(argument) if folder else _holding(images)
            for file in images:
                inside.setdefault(file, file.relative_to(base))
    if missing:
        raise MissingFileError(f'{listed(missing)} not found{_near(missing[0])}')
    if not inside:
        rest = f' among {others.total()} files ({suffixes(others)})' if others else ''
        raise UserError(
            f'no image in {listed(arguments)}{rest}; looked for {", ".join(kinds)}. Name files '
            'with other suffixes one by one'
        )
    if len(set(inside.values())) < len(inside):
        base = _holding(inside)
        inside = {file: file.relative_to(base) for file in inside}
    return Images(inside, others)


def _files(path: Path) -> Iterable[Path]:
    """Return all files; a broken link counts as a missing image."""
    return walk(path) if path.is_dir() else [path]


def _holding(files: Iterable[Path]) -> Path:
    """Return the deepest folder that holds all files."""
    return Path(os.path.commonpath([file.parent for file in files]))


def suffixes(others: Counter[str]) -> str:
    """Return text such as '3 .txt, 1 .json'."""
    return listed(f'{number} {suffix}' for suffix, number in others.most_common())


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(path))  # unlike Path.resolve, keeps the names of links


def _near(missing: str) -> str:
    folder = Path(missing).parent
    there: Iterable[Path] = folder.iterdir() if folder.is_dir() else ()
    return did_you_mean(missing, map(str, there))
