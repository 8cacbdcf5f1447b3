"""Finding the images that a command line names, and naming their results."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones.data.listing import SUFFIXES, walk
from backbones.errors import MissingFileError, UserError, did_you_mean, listed


@dataclass(frozen=True)
class Images:
    """Images to predict on.

    Args:
        inside: the files, each once and in order, with their paths in the folder that was named, or
            that holds all files of a pattern. Where two of these would be the same, all are the
            paths in the folder that holds everything.
        others: how many files of each other suffix the folders and patterns held.
    """

    inside: dict[Path, Path]
    others: Counter[str]

    def names(self) -> dict[Path, str]:
        """What each image's results are called, a path without a suffix.

        Where two images differ by their suffixes only, all names keep theirs.
        """
        stems = {path: inside.with_suffix('').as_posix() for path, inside in self.inside.items()}
        if len(set(stems.values())) == len(stems):
            return stems
        return {path: inside.as_posix() for path, inside in self.inside.items()}


def find_images(arguments: Sequence[str]) -> Images:
    """Find images by the paths of files and folders, and by patterns such as `photos/**/*.jpg`.

    A file that is named is taken whatever its suffix; what lies in a folder, or fits a pattern, is
    taken if it has an image's suffix.

    Raises:
        MissingFileError: names every argument that leads nowhere.
        UserError: there is no image.
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
        images = sorted(file for file in files if file.suffix.lower() in SUFFIXES)
        others.update(file.suffix.lower() or file.name for file in files.difference(images))
        if images:
            base = _absolute(argument) if folder else _holding(images)
            for file in images:
                inside.setdefault(file, file.relative_to(base))
    if missing:
        raise MissingFileError(f'there is no {listed(missing)}{_near(missing[0])}')
    if not inside:
        rest = f' among {others.total()} files ({suffixes(others)})' if others else ''
        raise UserError(
            f'no image in {listed(arguments)}{rest}; looked for {", ".join(SUFFIXES)}. A file of '
            'another suffix has to be named'
        )
    if len(set(inside.values())) < len(inside):
        base = _holding(inside)
        inside = {file: file.relative_to(base) for file in inside}
    return Images(inside, others)


def _files(path: Path) -> Iterable[Path]:
    """All but folders: a link that leads nowhere is an image that is missing."""
    return walk(path) if path.is_dir() else [path]


def _holding(files: Iterable[Path]) -> Path:
    """The deepest folder that holds all files."""
    return Path(os.path.commonpath([file.parent for file in files]))


def suffixes(others: Counter[str]) -> str:
    """E.g. '3 .txt, 1 .json'."""
    return listed(f'{number} {suffix}' for suffix, number in others.most_common())


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(path))  # links stay what they are called


def _near(missing: str) -> str:
    folder = Path(missing).parent
    there: Iterable[Path] = folder.iterdir() if folder.is_dir() else ()
    return did_you_mean(missing, map(str, there))
