"""Reading folders with an image and a mask file per object, like Kaggle's nuclei."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.images import DAMAGED
from backbones.data.files.label_mapping import read_raw
from backbones.data.files.listing import directly_in, list_images
from backbones.data.files.split_names import SPLITS
from backbones.data.layouts import shapes
from backbones.data.layouts.one_class import Instances, Part, read_masks

LOOKED_AT = 20  # folders to look at; each must have one image, and some several objects


def find(root: Path) -> dict[str, list[Path]]:
    """Return each split's folders of objects: NAME/images/NAME.png and NAME/masks/*.png."""
    found = {
        split: folders
        for split, words in SPLITS.items()
        for word in words
        if (folders := _objects(root / word))
    }
    return found or ({'train': folders} if (folders := _objects(root)) else {})


def _objects(place: Path) -> list[Path]:
    folders = [f for f in directly_in(place) if (f / 'images').is_dir() and (f / 'masks').is_dir()]
    some = folders[:LOOKED_AT]
    if any(folder.name.lower() in words for folder in some for words in SPLITS.values()):
        return []  # these are splits of label maps
    alone = all(len(list_images(folder / 'images')) == 1 for folder in some)
    several = any(len(list_images(folder / 'masks')) > 1 for folder in some)
    return folders if alone and several else []


def read(
    root: Path,
    found: dict[str, list[Path]],
    faults: Faults,
    *,
    classes: Sequence[str] = (),
    progress: bool = False,
) -> tuple[list[Split], tuple[str, ...]]:
    """Read the non-black pixels of each file in `masks` as an instance; see `read_masks`."""
    parts = {split: Part(root, root, []) for split in found}
    for split, folders in found.items():
        for folder in folders:
            images = list_images(folder / 'images')
            if len(images) == 1:
                parts[split].masks.append((images[0], folder))
            else:
                example = f'{folder.name}/images has {len(images)} images instead of one'
                faults.add('several-folders', root, example)
    return read_masks(root, parts, faults, instances=_instances, classes=classes, progress=progress)


def _instances(folder: Path) -> Instances:
    size, found, faults = None, [], []
    for path in list_images(folder / 'masks'):
        try:
            mask = read_raw(path, in_colours=True) != 0
        except DAMAGED as error:
            faults.append(f'{path.name}: {error}')
            continue
        here = mask.shape[1], mask.shape[0]
        if size not in (None, here):
            faults.append(
                f'{path.name} is {here[0]}x{here[1]}, but earlier masks are {size[0]}x{size[1]}'
            )
        elif not mask.any():
            faults.append(f'{path.name} is black')
        else:
            size = here
            found.append(shapes.encoded(np.ascontiguousarray(mask), 0, 0, here))
    return size, found, faults
