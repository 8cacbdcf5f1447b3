"""Reading the label maps of Pascal VOC's layout, SegmentationClass.

CVAT's "Segmentation mask 1.1", labelme's exports and the challenge itself use it.
"""

from collections.abc import Iterator
from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.image_finder import spelled_otherwise
from backbones.data.files.listing import SUFFIXES, directly_in, list_images, read_lines
from backbones.data.files.split_names import SPLITS, split_of

CLASSES = ('SegmentationClassPNG', 'SegmentationClass')
IMAGES = ('JPEGImages', 'images', '.')


def find(root: Path) -> tuple[Path, Path] | None:
    """Return the folders of images and label maps."""
    labels = next((root / f for f in CLASSES if has_image(root / f)), None)
    images = next((root / f for f in IMAGES if has_image(root / f)), None)
    return (images, labels) if images and labels else None


def has_image(folder: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in directly_in(folder)) or any(
        path.is_dir() and list_images(path) for path in directly_in(folder)
        if folder.name in CLASSES or folder.name in IMAGES[:2])  # fmt: skip


def read(
    root: Path, found: tuple[Path, Path], faults: Faults
) -> tuple[list[Split], tuple[str, ...]]:
    """Read label maps, divided by ImageSets/Segmentation if it names splits."""
    images, labels = found
    splits = []
    for name, stems in lists(root, labels).items():
        pairs = list(pairs_of(images, labels, stems, faults))
        splits.append(Split(name, labels, images, pairs=pairs, own_file=True))
    return splits, ()


def lists(root: Path, labels: Path) -> dict[str, list[str]]:
    """Return the names of each split's label maps, without suffix."""
    files = files_of_splits(root / 'ImageSets' / 'Segmentation')
    found = {split: read_lines(file) for split, file in files.items()}
    if 'train' in found:
        return found
    every = [p.relative_to(labels).with_suffix('').as_posix() for p in list_images(labels)]
    for stem in every:
        split = next(filter(None, map(split_of, stem.split('/')[:-1])), 'train')
        found.setdefault(split, []).append(stem)
    return {split: found[split] for split in SPLITS if split in found}


def files_of_splits(folder: Path) -> dict[str, Path]:
    """Return each split's list in a folder of ImageSets: train.txt, val.txt or valid.txt."""
    files = {file.stem.lower(): file for file in directly_in(folder) if file.suffix == '.txt'}
    found = {name: [files[w] for w in words if w in files] for name, words in SPLITS.items()}
    return {name: some[0] for name, some in found.items() if some}


def pairs_of(
    images: Path, labels: Path, stems: list[str], faults: Faults
) -> Iterator[tuple[Path, Path]]:
    image_of, label_of = (
        {p.relative_to(folder).with_suffix('').as_posix(): p for p in list_images(folder)}
        for folder in (images, labels)
    )
    names = {
        stem: stem if stem in image_of or stem in label_of else str(Path(stem).with_suffix(''))
        for stem in stems
    }
    for folder, files in ((images, image_of), (labels, label_of)):
        missing, others = (name for name in names.values() if name not in files), {*files}
        found = spelled_otherwise(missing, others.difference(names.values()))
        for name, other in found.items():
            files[name] = files[other]
            faults.add('image-elsewhere', folder, f'{name} has {files[other].name}')
    for stem, name in names.items():
        if name not in image_of:
            faults.add('missing-image', images, stem, total=len(stems))
        elif name not in label_of:
            faults.add('missing-label', labels, stem, total=len(stems))
        else:
            yield image_of[name], label_of[name]
