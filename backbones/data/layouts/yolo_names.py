"""YOLO without a data.yaml: class names in a text file, splits in folders.

CVAT's "YOLO 1.1" has `obj.names` and `obj_train_data`, Label Studio and LabelImg `classes.txt`.
"""

import functools
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from backbones.data.files.listing import list_images, read_lines
from backbones.data.files.split_names import SPLITS, split_of
from backbones.data.layouts.label_names import numbered
from backbones.data.layouts.yolo_labels import has_object, label_places, names_in, other_spelling

NAMES = 'obj.names'
BESIDE = ('classes.txt', '_darknet.labels')  # beside the labels, by LabelImg and Roboflow
FILES = (NAMES, 'classes.txt', 'labels/classes.txt', 'labels/*/classes.txt', '*/labels/classes.txt',
         '*/classes.txt', '_darknet.labels', '*/_darknet.labels', '*.names')  # fmt: skip
DATA = 'obj.data'  # darknet's: key = value
FOLDERS = ('obj_{}_data', 'images/{}', '{}/images', '{}')  # folders of a split
UNDIVIDED = ('images', 'JPEGImages', '.')  # folders of images without splits
LOOKED_AT = 200  # images among which one must have labels


def find_names(root: Path) -> Path | None:
    """Return the file with the class names, if images of the folder have YOLO's label files."""
    said = _facts(root).get('names')  # a path on the machine that trained with it
    named = [root / Path(said.replace('\\', '/')).name] if said else []
    files = (file for name in FILES for file in sorted(root.glob(name)))
    file = next(filter(Path.is_file, [*named, *files]), None)
    if file is None:
        return None
    # unmistakable, so empty label files are enough
    return file if has_labels(root, empty=file.name == NAMES) else None


def has_labels(root: Path, *, empty: bool = False) -> bool:
    """Return whether one of the first images has a label file, with an object or also `empty`."""
    folders = (root / folder for folder in _folders(root).values())
    images = (image for folder in folders for image in list_images(folder))
    names = functools.cache(names_in)
    return any(_has_labels(image, root, names, empty=empty) for image in islice(images, LOOKED_AT))


def settings(root: Path, file: Path) -> dict[str, object]:
    """Return what a data.yaml would say. See `find_names`.

    Args:
        file: the names; the folder itself if there are none.
    """
    splits: dict[str, object] = dict(folders_of_splits(root), path=root)
    if file == root:
        return splits
    count = _facts(root).get('classes')
    lines = read_lines(file)
    by_number = {str(number): name for number, name in (numbered(lines) or {}).items()}
    return splits | dict(names=by_number or lines) | (dict(nc=count) if count else {})


def folders_of_splits(root: Path) -> dict[str, str]:
    """Return the list of images, or the folder, of each split."""
    listed, folders = _listed(root), _folders(root)
    return folders if len(folders) > len(listed) else listed  # somebody has divided it since


def _listed(root: Path) -> dict[str, str]:
    """Return the text files that list the images of each split, if obj.data names them."""
    files = {split_of(k): Path(said).name for k, said in _facts(root).items() if split_of(k)}
    return {str(split): name for split, name in files.items() if (root / name).is_file()}


def _facts(root: Path) -> dict[str, str]:
    """Return the settings in obj.data."""
    lines = read_lines(root / DATA) if (root / DATA).is_file() else []
    pairs = (line.partition('=') for line in lines)
    return {key.strip(): said.strip() for key, _, said in pairs}


def _folders(root: Path) -> dict[str, str]:
    there = {p.relative_to(root).as_posix().lower(): p.relative_to(root).as_posix()
             for depth in ('*', '*/*') for p in root.glob(depth) if p.is_dir()}  # fmt: skip
    found = {}
    for split, words in SPLITS.items():
        tries = [folder.format(word) for word in words for folder in FOLDERS]
        known = (there[f] for f in tries if f in there)
        folder = next((f for f in known if list_images(root / f)), None)
        if folder is not None:
            found[split] = folder
    if 'train' not in found:
        whole = next((f for f in UNDIVIDED if (root / f).is_dir() and list_images(root / f)), None)
        if whole is not None:
            return {'train': whole}
    return found


def _has_labels(
    image: Path, root: Path, names: Callable[[Path], dict[str, list[Path]]], *, empty: bool
) -> bool:
    places = label_places(image, root)
    file = next(filter(Path.is_file, places), None) or other_spelling(image, places, names)
    return file is not None and (empty or has_object(file))
