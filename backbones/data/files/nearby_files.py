"""Finding the file that was probably meant when one is missing."""

from pathlib import Path

from backbones.data.files.image_finder import alike
from backbones.data.files.listing import SUFFIXES, directly_in, list_images


def near(path: Path) -> str:
    """Find a file whose name differs from a missing file's in case, suffix or accents.

    Returns:
        ' (there is NAME)', or '' if nothing is close.
    """
    names = [beside.name for beside in directly_in(path.parent) if beside.name != path.name]
    there = [name for name in names if _plain(name) == _plain(path.name)]
    there += [name for name in names if _plain(name) in _labels_of(_plain(path.name))]
    if there:
        return f' (there is {there[0]})'
    return ' (a backslash is not a separator; write /)' if '\\' in path.name else ''


def elsewhere(name: str, folder: Path) -> str:
    """Find images of this file name below a folder; '' if there are none."""
    last = name.replace('\\', '/').rpartition('/')[2]
    found = [p.relative_to(folder).as_posix() for p in list_images(folder) if p.name == last]
    if len(found) > 1:
        return f' (there are {" and ".join(found[:3])}: use one of these paths)'
    return f' (there is {found[0]}: use that path)' if found else ''


def _plain(name: str) -> str:
    """Strip suffixes, and what differs between systems."""
    plain = alike(Path(name).stem)
    while plain.endswith(SUFFIXES):  # NAME.png.png
        plain = Path(plain).stem
    return plain


def _labels_of(name: str) -> tuple[str, ...]:
    """Return common names for an image's label map."""
    return tuple(f'{name}{sign}{word}' for sign in '_-' for word in ('mask', 'label', 'gt', 'seg'))
