"""Reading label maps whose numbers or colours are instances of one class, as of nuclei.

Nothing in such a folder says that they are not classes, so the user has to request this layout.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.images import DAMAGED
from backbones.data.files.label_mapping import read_raw
from backbones.data.layouts import mask_folders, shapes
from backbones.data.layouts.mask_folders import Pair
from backbones.data.layouts.one_class import Instances, Part, read_masks

MANY = 20_000  # an image with more values is a photograph, and not a map of instances


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
    """Read each number or colour except 0 and black as an instance; see `read_masks`."""
    parts = {
        split: Part(pair.labels, pair.images, mask_folders.pair_by_name(pair, faults))
        for split, pair in found.items()
    }
    return read_masks(root, parts, faults, instances=_instances, classes=classes, progress=progress)


def _instances(path: Path) -> Instances:
    try:
        raw = read_raw(path, in_colours=False)
        if raw.ndim != 2:
            raw = read_raw(path, in_colours=True)
    except DAMAGED as error:
        return None, [], [str(error)]
    size = raw.shape[1], raw.shape[0]
    values = np.unique(raw[raw != 0])
    if len(values) > MANY:
        return size, [], [f'it has {len(values)} colours']
    return size, [shapes.encoded(raw == value, 0, 0, size) for value in values], []
