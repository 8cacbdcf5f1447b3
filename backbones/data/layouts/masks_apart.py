"""Folders with several masks per image, which are not read: what each is, and what to do."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from backbones.data.files.listing import SUFFIXES, directly_in, first_images
from backbones.data.files.similar_names import is_of_labels
from backbones.errors import listed

OBJECTS = (
    'put each image and its masks into NAME/images/NAME.png and NAME/masks/*.png, which are read '
    'as objects of one class'
)


def masks_apart(root: Path) -> str:
    """Describe such a folder, '' if there is none.

    Masks may lie in masks/CLASS/NAME.png, in masks/NAME/*.png, or in masks/NAME_*.png.
    """
    images = first_images(root)
    places = {path.parent.parent for path in images if path.parent.parent.is_relative_to(root)}
    found = (_in_folders(root, place, images) for place in sorted(places - {root}))
    beside = (_by_names(root, folder, images) for folder in sorted({p.parent for p in images}))
    return next(filter(None, (*found, *beside)), '')


def _in_folders(root: Path, place: Path, images: Sequence[Path]) -> str:
    folders = [path for path in directly_in(place) if path.is_dir()]
    if not is_of_labels(place) or not folders:
        return ''
    named = Counter(path.stem for path in images)
    stems = [{p.stem for p in directly_in(f) if p.suffix.lower() in SUFFIXES} for f in folders]
    inside = Counter(stem for some in stems for stem in some)
    where, names = place.relative_to(root), listed([path.name for path in folders])
    if all(path.name in named for path in folders):
        one = (
            'it has one mask, so call it NAME.png, and put it into the folder like that of the '
            'image, such as masks/train for images/train'
        )
        remedy = OBJECTS if any(len(some) > 1 for some in stems) else one
        return f'{where}/ has a folder of masks for each image ({names}): {remedy}'
    if len(folders) < 2 or not inside or any(named[stem] <= n for stem, n in inside.items()):
        return ''
    return (
        f'{where}/ has a folder of masks for each class ({names}): draw them into one label map '
        'per image, with the value 1 for the first class, 2 for the second and so on, and put '
        'these directly into that folder'
    )


def _by_names(root: Path, folder: Path, images: Sequence[Path]) -> str:
    """Describe a folder with masks such as 1_car_0.png and 1_car_1.png of the image 1.jpg."""
    if not is_of_labels(folder):
        return ''
    here = {path.stem for path in images if path.parent == folder}
    counts = [sum(name.startswith(f'{stem}_') for name in here)
              for stem in {path.stem for path in images} - here]  # fmt: skip
    if max(counts, default=0) < 2 or sum(counts) != len(here):
        return ''
    return f'{folder.relative_to(root)}/ has several masks for each image: {OBJECTS}'
