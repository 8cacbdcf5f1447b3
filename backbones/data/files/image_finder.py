"""Finding image files that annotations name by another machine's or program's paths."""

import functools
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from backbones.data.files.listing import SUFFIXES, directly_in, grouped, list_images
from backbones.data.files.similar_names import is_of_labels

SHOWN = 3  # images that a name may mean
HASH = re.compile(r'^[0-9a-f]{8}-')  # Label Studio's prefix of uploaded files


class ImageFinder:
    """The images of a dataset.

    Args:
        root: the dataset's folder; nothing outside it is found.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, name: str, folders: Iterable[Path] = ()) -> Path | None:
        """Return the file that a name may mean; None if there is none or several.

        `C:\\data\\images\\a.jpg`, `/data/upload/1/a.jpg` and `https://host/images/a.jpg?key` are
        `images/a.jpg` or `a.jpg` in one of the folders; otherwise the only image of that name in
        the dataset or below the folders, perhaps with Label Studio's hash before it, or written
        otherwise on another system (see `alike`).
        """
        parts = parts_of(name)
        folders = list(folders)
        for start in range(len(parts)):
            for folder in folders:
                path = folder.joinpath(*parts[start:])
                if os.path.isfile(path):
                    return path
        there = self._named(name)
        if len(there) > 1:
            there = [path for path in there if any(path.is_relative_to(f) for f in folders)]
        if not there and (last := next(reversed(parts_of(name)), '')):
            return self.called(last) or self.called(Path(last).stem)
        return there[0] if len(there) == 1 else None

    def lost(self, name: str) -> tuple[str, str]:
        """Return the kind of fault of a name that `find` has not found, and what it may mean."""
        there = [str(path.relative_to(self.root)) for path in self._named(name)[:SHOWN]]
        if len(there) < 2:
            return 'missing-image', name
        return 'ambiguous-image', f'{name} may be {" or ".join(there)}'

    def called(self, stem: str) -> Path | None:
        """Return the only image of a name without suffix, except in folders of masks."""
        there = [path for path in self._stems.get(stem, []) if not is_of_labels(path.parent)]
        return there[0] if len(there) == 1 else None

    def _named(self, name: str) -> list[Path]:
        last = next(reversed(parts_of(name)), '')
        return self._names.get(last) or self._names.get(HASH.sub('', last)) or (
            self._hashed.get(last) or self._alike.get(alike(last), []))  # fmt: skip

    def beside(self, file: Path) -> Path | None:
        """Return the image with the same name as a file, in its folder; None if there is none."""
        return next(iter(self._in(file.parent).get(file.stem, [])), None)

    @functools.lru_cache(maxsize=1000)  # noqa: B019, lives for one reading
    def _in(self, folder: Path) -> dict[str, list[Path]]:
        images = (path for path in directly_in(folder) if path.suffix.lower() in SUFFIXES)
        return grouped(images, lambda path: path.stem)

    @functools.cached_property
    def _names(self) -> dict[str, list[Path]]:
        return grouped(list_images(self.root), lambda path: path.name)

    @functools.cached_property
    def _stems(self) -> dict[str, list[Path]]:
        every = (path for paths in self._names.values() for path in paths)
        return grouped(every, lambda path: path.stem)

    @functools.cached_property
    def _hashed(self) -> dict[str, list[Path]]:
        hashed = (p for name, paths in self._names.items() if HASH.match(name) for p in paths)
        return grouped(hashed, lambda path: HASH.sub('', path.name))

    @functools.cached_property
    def _alike(self) -> dict[str, list[Path]]:
        every = (path for paths in self._names.values() for path in paths)
        return grouped(every, lambda path: alike(path.name))


def alike(name: str) -> str:
    """Return a name without what depends on the system: case, and how accents are composed."""
    return unicodedata.normalize('NFC', name).casefold()


def spelled_otherwise(missing: Iterable[str], there: Iterable[str]) -> dict[str, str]:
    """Map missing names to names that `alike` considers equal to them.

    Args:
        there: existing names that no entry uses.
    """
    wanted, others = grouped(missing, alike), grouped(there, alike)
    both = ((names, others.get(key, [])) for key, names in wanted.items())
    return {names[0]: found[0] for names, found in both if len(names) == len(found) == 1}


def there(images: list[dict], folder: Path) -> set[str]:
    """Return the real paths of a COCO file's images that are where it says."""
    paths = (folder / str(entry.get('file_name') or '') for entry in images)
    return {os.path.realpath(path) for path in paths if os.path.isfile(path)}


def relocate(
    images: list[dict], folder: Path, finder: ImageFinder, taken: set[str]
) -> list[tuple[str, str]]:
    """Correct the names of images that are elsewhere in the dataset; use each file once at most.

    Args:
        images: entries of a COCO file; their `file_name` is changed.
        folder: the folder to which the names are relative.
        taken: real paths of images that other entries name; those found are added.

    Returns:
        The old and new name of each.
    """
    names = [str(entry.get('file_name') or '') for entry in images]
    missing = [i for i, name in enumerate(names) if name and not os.path.isfile(folder / name)]
    found = {i: path for i in missing if (path := finder.find(names[i], [folder]))}
    count = Counter(os.path.realpath(path) for path in found.values())
    moved = []
    for i, path in sorted(found.items()):
        real = os.path.realpath(path)
        if real not in taken and count[real] == 1:
            images[i]['file_name'] = os.path.relpath(path, folder)
            moved.append((names[i], images[i]['file_name']))
    taken |= {os.path.realpath(folder / new) for _, new in moved}
    return moved


def parts_of(name: str) -> list[str]:
    """Return the parts of a path or URL in any notation."""
    name = name.rpartition('?d=')[2]  # Label Studio's local files
    if '://' in name:
        name = urlsplit(name).path
    parts = unquote(name).replace('\\', '/').split('/')
    return [part for part in parts if part not in ('', '.', '..') and not part.endswith(':')]
