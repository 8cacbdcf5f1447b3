"""Finding a dataset one or two folders below or above the given one."""

from collections.abc import Callable
from pathlib import Path

from backbones.data.files.listing import directly_in
from backbones.data.files.split_names import split_of
from backbones.errors import UserError, listed

DEPTH = 2  # levels of folders to enter
MANY = 50  # folders to look at on each level; the wrapping of a dataset has fewer
SIGNS = ('data.yaml', 'annotations', 'Annotations', 'ImageSets', 'labels', 'masks', 'obj.names',
         'annotations.xml', 'classes.txt', 'result.json', 'SegmentationClass')  # fmt: skip


def follow(root: Path, holds: Callable[[Path], bool]) -> Path | None:
    """Return the only dataset below a folder, as in an unpacked archive; None if there is none.

    Args:
        holds: returns whether a folder itself holds a dataset.

    Raises:
        UserError: there are several.
    """
    level = [root]
    for _ in range(DEPTH):
        level = [path for folder in level for path in directly_in(folder) if path.is_dir()][:MANY]
        found = [folder for folder in level if holds(folder)]
        if len(found) > 1:
            names = ', '.join(str(folder) for folder in found[:5])
            raise UserError(f'{root} holds several datasets: {names}; give one of them')
        if found and (others := _other_splits(found[0])):
            raise UserError(
                f'{found[0]} holds a dataset that can be read, but {listed(others)} beside it does '
                'not: do all of them have annotations of the same kind?'
            )
        if found:
            return found[0]
    return None


def _other_splits(folder: Path) -> list[str]:
    """Return the folders of other splits beside the folder of a split."""
    if split_of(folder.name) is None:
        return []
    beside = [path for path in directly_in(folder.parent) if path.is_dir() and path != folder]
    return [path.name for path in beside if split_of(path.name)]


def part_of(root: Path) -> str:
    """Describe the dataset of which a folder is a part; '' if its parent does not look like one."""
    parent = root.resolve().parent
    signs = [name for name in SIGNS if (parent / name).exists() and name != root.name]
    if not signs:
        return ''
    return f' It may be a part of the dataset in {parent}, which has {signs[0]}: give that folder.'
