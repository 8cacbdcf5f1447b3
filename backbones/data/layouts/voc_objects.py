"""Reading the instances of Pascal VOC's layout: SegmentationObject beside SegmentationClass.

Each instance has its own value or colour; its class is in the label map.
"""

from pathlib import Path

import numpy as np

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.images import DAMAGED
from backbones.data.files.label_mapping import IGNORED, read_raw
from backbones.data.files.listing import list_images
from backbones.data.files.parallel import in_parallel
from backbones.data.layouts import shapes, voc_masks
from backbones.data.layouts.label_names import read_names

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
    """Read each instance as a run-length code; its class is the commonest among its pixels.

    Returns:
        Splits, and the classes without the background.
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
        for (image, label, _), (size, some, there, fault) in zip(work, instances):
            number = records.add_image(image.relative_to(images).as_posix(), size)
            said = [fault] if fault else []
            for kind, shape in some:
                if kind == background:
                    said.append('an instance lies on the background')
                elif kind is None or len(names) <= kind < IGNORED:
                    what = 'a colour without a name' if kind is None else f'label {kind}'
                    faults.add('unknown-class', objects, f'{label.name}: {what}')
                elif kind < IGNORED:
                    records.add(number, names[kind], shape)
            alone = there - {kind for kind, _ in some} - {background, IGNORED}
            said += [f'label {kind} has no instance' for kind in sorted(alone) if not fault]
            for what in said:
                faults.add('broken-shape', objects, f'{label.name}: {what}', total=len(work))
        split = Split(name, objects, images, records=records.as_coco(), own_file=True)
        splits.append(split)
    return splits, classes


def _instances(
    label: Path, objects: Path | None, known: dict[int, int]
) -> tuple[tuple[int, int] | None, list[tuple[int | None, dict]], set[int], str]:
    """Return an image's size, each instance's label and shape, all labels, and a fault.

    The label is None for a colour without a name.
    """
    if objects is None:
        return None, [], set(), 'there is no map of instances'
    try:
        kinds, parts = (read_raw(path, in_colours=bool(known)) for path in (label, objects))
    except DAMAGED as error:
        return None, [], set(), str(error)
    if kinds.shape != parts.shape or kinds.ndim != 2:
        said = f'its size is {kinds.shape}, but the instances have {parts.shape}'
        return None, [], set(), said
    size = kinds.shape[1], kinds.shape[0]
    found = []
    for value in np.unique(parts):
        if value in (0, BORDER if known else IGNORED):
            continue
        mask = parts == value
        values, counts = np.unique(kinds[mask], return_counts=True)
        commonest = int(values[counts.argmax()])
        kind = known.get(commonest) if known else commonest
        found.append((kind, shapes.encoded(mask, 0, 0, size)))
    every = np.unique(kinds).tolist()
    there = {known[value] for value in every if value in known} if known else {*every}
    return size, found, there, ''
