"""Data with a single class that has no name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.parallel import in_parallel
from backbones.data.layouts.shapes import Records

UNNAMED = 'object'


def only_class(given: Sequence[str], root: Path, faults: Faults) -> str:
    """Return the name of the only class; warn if the user has not given one.

    Args:
        given: the names of `--classes`.
    """
    if len(given) == 1:
        return given[0]
    faults.add('unnamed-objects', root, repr(UNNAMED))
    return UNNAMED


@dataclass(frozen=True)
class Part:
    """A split whose objects are in files of masks.

    Args:
        source: the folder of the masks.
        images: the folder to which the names of images are relative.
        masks: each image, and the file or folder with the masks of its objects.
    """

    source: Path
    images: Path
    masks: list[tuple[Path, Path]]


# the size of an image, the shapes of its objects, and its faults
Instances = tuple[tuple[int, int] | None, list[dict], list[str]]


def read_masks(
    root: Path,
    parts: dict[str, Part],
    faults: Faults,
    *,
    instances: Callable[[Path], Instances],
    classes: Sequence[str],
    progress: bool,
) -> tuple[list[Split], tuple[str, ...]]:
    """Read masks as instances of one class, with run-length codes.

    Args:
        instances: reads the file or folder of an image's masks.
        classes: the class name given by the user.

    Returns:
        Splits, and the class.
    """
    name = only_class(classes, root, faults)
    splits = []
    for split, part in parts.items():
        records, total = Records((name,)), len(part.masks)
        found = in_parallel(instances, [masks for _, masks in part.masks],
                            title=f'masks of {split}', progress=progress)  # fmt: skip
        for (image, masks), (size, shapes, wrong) in zip(part.masks, found):
            number = records.add_image(image.relative_to(part.images).as_posix(), size)
            for shape in shapes:
                records.add(number, name, shape)
            for fault in wrong:
                faults.add('broken-shape', part.source, f'{masks.name}: {fault}', total=total)
        splits.append(
            Split(split, part.source, part.images, records=records.as_coco(), own_file=True)
        )
    return splits, (name,)
