"""Reading label maps whose numbers or colours are instances of one class, as of nuclei.

Nothing in such a folder says that they are not classes, so this layout has to be asked for.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backbones.data import mask_folders, shapes
from backbones.data.collected import only_class
from backbones.data.dataset import Split
from backbones.data.faults import Faults
from backbones.data.images import DAMAGED
from backbones.data.label_mapping import read_raw
from backbones.data.mask_folders import Pair
from backbones.data.parallel import in_parallel

MANY = 20_000  # instances of an image, which are the colours of a photograph instead


def find(root: Path) -> dict[str, Pair]:
    """Return each split's folders of images and maps of instances."""
    return mask_folders.find(root) or mask_folders.find_similar(root)


def read(
    root: Path,
    found: dict[str, Pair],
    faults: Faults,
    *,
    classes: Sequence[str] = (),
    progress: bool = False,
) -> tuple[list[Split], tuple[str, ...]]:
    """Read each number or colour but 0 and black as an instance with a run-length code.

    Args:
        classes: the name that the user has given to the class.

    Returns:
        Splits, and the class.
    """
    name = only_class(classes, root, faults)
    splits = []
    for part, pair in found.items():
        records = shapes.Records((name,))
        pairs = mask_folders.pair_by_name(pair, faults)
        instances = in_parallel(_instances, [label for _, label in pairs],
                                title=f'instances of {part}', progress=progress)  # fmt: skip
        for (image, label), (size, some, fault) in zip(pairs, instances):
            number = records.add_image(image.relative_to(pair.images).as_posix(), size)
            for shape in some:
                records.add(number, name, shape)
            if fault:
                faults.add('broken-shape', pair.labels, f'{label.name}: {fault}', total=len(pairs))
        splits.append(
            Split(part, pair.labels, pair.images, records=records.as_coco(), own_file=True)
        )
    return splits, (name,)


def _instances(path: Path) -> tuple[tuple[int, int] | None, list[dict], str]:
    """Return the size of a map, the shape of each instance, and a fault."""
    try:
        raw = read_raw(path, in_colours=False)
        if raw.ndim != 2:
            raw = read_raw(path, in_colours=True)
    except DAMAGED as error:
        return None, [], str(error)
    size = raw.shape[1], raw.shape[0]
    values = np.unique(raw[raw != 0])
    if len(values) > MANY:
        return size, [], f'it has {len(values)} colours'
    return size, [shapes.encoded(raw == value, 0, 0, size) for value in values], ''
