"""YOLO without a data.yaml: class names in a text file, splits in folders, as annotators export it.

CVAT's "YOLO 1.1" has `obj.names` and `obj_train_data`, Label Studio and LabelImg `classes.txt`.
"""

from itertools import islice
from pathlib import Path

from backbones.data.dataset import SPLITS
from backbones.data.listing import list_images, read_lines
from backbones.data.yolo_labels import has_object, label_places

FILES = ('obj.names', 'classes.txt', 'labels/classes.txt')
FOLDERS = ('obj_{}_data', 'images/{}', '{}/images', '{}')  # of a split
UNDIVIDED = ('images', 'JPEGImages', '.')  # of images without splits
LOOKED_AT = 200  # images among which one with labels has to be


def find_names(root: Path) -> Path | None:
    """Return the file with the class names, if images of the folder have YOLO's label files."""
    file = next((root / name for name in FILES if (root / name).is_file()), None)
    if file is None:
        return None
    images = (image for folder in _splits(root).values() for image in list_images(root / folder))
    return file if any(_has_labels(image, root) for image in islice(images, LOOKED_AT)) else None


def settings(root: Path, file: Path) -> dict[str, object]:
    """Return what a data.yaml would say. See `find_names`."""
    return dict(_splits(root), names=read_lines(file), path=str(root.absolute()))


def _splits(root: Path) -> dict[str, str]:
    found = {}
    for split, words in SPLITS.items():
        tries = [folder.format(word) for word in words for folder in FOLDERS]
        folder = next((f for f in tries if (root / f).is_dir() and list_images(root / f)), None)
        if folder is not None:
            found[split] = folder
    if 'train' not in found:
        whole = next((f for f in UNDIVIDED if (root / f).is_dir() and list_images(root / f)), None)
        if whole is not None:
            return {'train': whole}
    return found


def _has_labels(image: Path, root: Path) -> bool:
    file = next((place for place in label_places(image, root) if place.is_file()), None)
    return file is not None and has_object(file)
