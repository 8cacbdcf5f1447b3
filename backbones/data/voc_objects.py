"""Reading the instances of Pascal VOC's layout: SegmentationObject beside SegmentationClass.

Each instance has another value or colour; its class is in the label map.
"""

from pathlib import Path

import numpy as np

from backbones.data import shapes, voc_masks
from backbones.data.dataset import Split
from backbones.data.faults import Faults
from backbones.data.images import DAMAGED
from backbones.data.label_mapping import IGNORED, read_raw
from backbones.data.label_names import read_names
from backbones.data.listing import list_images
from backbones.data.parallel import in_parallel

FOLDERS = ('SegmentationObjectPNG', 'SegmentationObject')
BORDER = 0xE0E0C0  # between objects, in the challenge's palette


def find(root: Path) -> tuple[Path, Path, Path] | None:
    """Return the folders of images, label maps and instances."""
    objects = next((root / f for f in FOLDERS if voc_masks.has_image(root / f)), None)
    both = voc_masks.find(root)
    return (*both, objects) if both and objects else None


def read(
    root: Path, found: tuple[Path, Path, Path], faults: Faults
) -> tuple[list[Split], tuple[str, ...]]:
    """Read each instance as a run-length code; its class is the commonest one of its pixels.

    Returns:
        Splits, and the classes: those of the names, but the background.
    """
    images, labels, objects = found
    there = next(iter(read_names(root, faults)), None)
    mapping = there.mapping if there else None
    known = mapping.labels() if mapping else {}
    background = known.get(0, 0)
    names = there.names if there else ()
    classes = tuple(name for label, name in enumerate(names) if label != background)
    splits = []
    for name, stems in voc_masks.lists(root, labels).items():
        records = shapes.Records(classes)
        pairs = list(voc_masks.pairs_of(images, labels, stems, faults))
        object_of = {p.relative_to(objects).with_suffix('').as_posix(): p
                     for p in list_images(objects)}  # fmt: skip
        work = [(i, label, object_of.get(label.relative_to(labels).with_suffix('').as_posix()))
                for i, label in pairs]  # fmt: skip
        instances = in_parallel(lambda each: _instances(each[1], each[2], known), work,
                                title=f'instances of {name}', progress=False)  # fmt: skip
        for (image, label, _), (size, some, fault) in zip(work, instances):
            number = records.add_image(image.relative_to(images).as_posix(), size)
            if fault:
                faults.add('broken-shape', objects, f'{label.name}: {fault}', total=len(work))
            for kind, shape in some:
                if kind < len(names) and kind != background:
                    records.add(number, names[kind], shape)
                elif kind not in (IGNORED, background):
                    faults.add('unknown-class', objects, f'{label.name}: label {kind}')
        split = Split(name, objects, images, records=records.as_coco(), own_file=True)
        splits.append(split)
    return splits, classes


def _instances(
    label: Path, objects: Path | None, known: dict[int, int]
) -> tuple[tuple[int, int] | None, list[tuple[int, dict]], str]:
    """Return an image's size, the label and shape of each instance, and what is wrong."""
    if objects is None:
        return None, [], 'there is no map of instances'
    try:
        kinds, parts = (read_raw(path, in_colours=bool(known)) for path in (label, objects))
    except DAMAGED as error:
        return None, [], str(error)
    if kinds.shape != parts.shape or kinds.ndim != 2:
        return None, [], f'its size is {kinds.shape}, that of the instances {parts.shape}'
    size = kinds.shape[1], kinds.shape[0]
    found = []
    for value in np.unique(parts):
        if value in (0, BORDER if known else IGNORED):
            continue
        mask = parts == value
        values, counts = np.unique(kinds[mask], return_counts=True)
        commonest = int(values[counts.argmax()])
        kind = known.get(commonest, IGNORED) if known else commonest
        found.append((kind, shapes.encoded(mask, 0, 0, size)))
    return size, found, ''
