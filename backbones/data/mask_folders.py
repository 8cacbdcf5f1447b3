"""Reading folders of images and label maps, paired by name without suffix."""

from pathlib import Path

from backbones.data.dataset import SPLITS, Split
from backbones.data.faults import Faults
from backbones.data.listing import list_images
from backbones.data.nearby_files import near

IMAGES = ('images', 'imgs', 'img', 'image', 'JPEGImages')
LABELS = ('masks', 'labels', 'annotations', 'mask', 'label', 'ann', 'segmentation', 'gt')


def find(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return each split's folders of images and label maps: images/train and masks/train, or
    train/images and train/masks."""
    there = {p.relative_to(root).as_posix().lower(): p for p in _folders(root)}
    found = {}
    for split, words in SPLITS.items():
        tries = [(f'{i}/{w}', f'{a}/{w}') for w in words for i in IMAGES for a in LABELS]
        tries += [(f'{w}/{i}', f'{w}/{a}') for w in words for i in IMAGES for a in LABELS]
        for images, labels in tries:
            if images.lower() in there and labels in there and _has_image(there[labels]):
                found[split] = there[images.lower()], there[labels]
                break
    if not found:  # no splits: all images are for training, until somebody divides them
        flat = ((i, a) for i in IMAGES for a in LABELS if i.lower() in there and a in there)
        for images, labels in flat:
            if list_images(there[images.lower()]) and _has_image(there[labels]):
                return {'train': (there[images.lower()], there[labels])}
    return found


def _folders(root: Path) -> list[Path]:
    first = [p for p in root.iterdir() if p.is_dir()]
    return first + [q for p in first for q in p.iterdir() if q.is_dir()]


def _has_image(folder: Path) -> bool:
    return bool(list_images(folder))


def read(found: dict[str, tuple[Path, Path]], faults: Faults) -> list[Split]:
    """Read the splits in the folders that `find` returned."""
    return [
        Split(name, labels, images, pairs=pair_by_name(images, labels, faults))
        for name, (images, labels) in found.items()
    ]


def pair_by_name(images: Path, labels: Path, faults: Faults) -> list[tuple[Path, Path]]:
    """Pair the files of two folders, whatever their suffixes; unpaired files are faults."""
    by_name, label_of = (_by_name(folder, faults) for folder in (images, labels))
    for key in sorted(by_name.keys() - label_of.keys()):
        name = by_name[key].name
        faults.add('missing-label', labels, f'{name}{near(labels / name)}', total=len(by_name))
    for key in sorted(label_of.keys() - by_name.keys()):
        faults.add('label-without-image', labels, label_of[key].name)
    return [(by_name[key], label_of[key]) for key in by_name if key in label_of]


def _by_name(folder: Path, faults: Faults) -> dict[str, Path]:
    """Return the files of a folder by name without suffix."""
    found: dict[str, Path] = {}
    for path in list_images(folder):
        other = found.setdefault(name_in(folder, path), path)
        if other != path:
            faults.add('ambiguous-name', folder, f'{other.name} and {path.name}')
    return found


def read_names(file: Path) -> set[str]:
    """Read a list of images, one name per line. See `name_in`."""
    return set(file.read_text(encoding='utf-8').splitlines())


def name_in(folder: Path, path: Path) -> str:
    """Return a file's name in a folder, by which images and label maps are paired: no suffix."""
    return path.relative_to(folder).with_suffix('').as_posix()
