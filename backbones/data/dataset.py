"""A dataset as it was found: its splits in one form, whatever layout they were written in."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from backbones.data.images import ImageFacts
from backbones.data.segmentations import has_mask

SPLITS = {
    'train': ('train', 'training'),
    'val': ('val', 'valid', 'validation', 'dev'),
    'test': ('test', 'testing'),
}


@dataclass
class Split:
    """A part of a dataset.

    Args:
        name: 'train', 'val' or 'test'.
        source: what the annotations were read from, a file or a folder.
        images: folder that the names of images are relative to.
        records: of a detection dataset, the lists 'images', 'annotations' and 'categories' in
            COCO's form, complete as far as the source is.
        pairs: of a segmentation dataset, image and label map; the latter may be missing.
        facts: what was found in the image files so far.
        by_name: whether `CocoByNameDataset` reads it, as in the configs of tools/new_config.py.
        divided: whether it is a part of the files' split, so that its images have to be listed.
        left_out: of 'images' and 'annotations', why and how many a config's dataset leaves out.
    """

    name: str
    source: Path
    images: Path
    records: dict[str, list[dict]] = field(default_factory=dict)
    pairs: list[tuple[Path, Path]] = field(default_factory=list)
    facts: dict[Path, ImageFacts] = field(default_factory=dict)
    label_facts: dict[Path, ImageFacts] = field(default_factory=dict)
    by_name: bool = True
    divided: bool = False
    left_out: dict[str, Counter[str]] = field(
        default_factory=lambda: dict(images=Counter(), annotations=Counter())
    )

    def paths(self) -> list[Path]:
        """The image files that are named, each once."""
        if self.pairs:
            return [image for image, _ in self.pairs]
        names = [entry.get('file_name') for entry in self.records.get('images', [])]
        return list(dict.fromkeys(self.images / n for n in names if isinstance(n, str)))


@dataclass
class Dataset:
    """Splits and classes.

    Args:
        layout: 'coco', 'yolo', 'voc' or 'masks'.
        root: the folder that was given.
        splits: by name, the training split first; of several datasets that a config joins, the
            second is 'train 2'.
        classes: names; of a label map, in the order of its values.
        zero_ignored: label 0 means "ignore", and the first class is label 1.
    """

    layout: str
    root: Path
    splits: dict[str, Split]
    classes: tuple[str, ...] = ()
    zero_ignored: bool = False

    @property
    def detection(self) -> bool:
        return self.layout != 'masks'

    def parts(self, name: str) -> list[Split]:
        """The split of that name; several, where a config joins datasets; none, if it has none."""
        return [split for split in self.splits.values() if split.name == name]

    def has_masks(self) -> bool:
        """Whether instances have masks, in every split that has instances."""
        return self.detection and bool(self.splits) and not self.without_masks()

    def without_masks(self) -> list[str]:
        """The splits with instances, but without a single mask."""
        return [
            name
            for name, split in self.splits.items()
            if (annotations := split.records.get('annotations'))
            and not any(map(has_mask, annotations))
        ]


def split_of(name: str) -> str | None:
    """Which split a file or folder is for, by a word in its name: 'instances_train2017' -> 'train'.

    Returns:
        'train', 'val' or 'test'; None if no word says so.
    """
    words = re.findall(r'[a-z]+', name.lower())
    return next((s for s, known in SPLITS.items() if any(w in known for w in words)), None)
