"""A dataset in one form, whatever layout its splits were written in."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from backbones.data.files.images import ImageFacts
from backbones.data.files.label_mapping import LabelMapping
from backbones.data.files.segmentations import has_mask


@dataclass
class Split:
    """A part of a dataset.

    Args:
        name: 'train', 'val' or 'test'.
        source: the file or folder that the annotations were read from.
        images: the folder to which image names are relative.
        records: for detection, COCO's lists 'images', 'annotations' and 'categories',
            as complete as the source.
        pairs: for segmentation, image and label map, of which the latter may be missing.
        facts, label_facts: facts about the image files and label maps that have been checked.
        by_name: whether `CocoByNameDataset` reads it, as in configs of tools/new_config.py.
        own_file: whether a config needs a new file for the split, as no file of the data holds it:
            annotations as COCO, or a list of images with their label maps.
        left_out: for 'images' and 'annotations', how many a config's dataset drops, by reason.
    """

    name: str
    source: Path
    images: Path
    records: dict[str, list[dict]] = field(default_factory=dict)
    pairs: list[tuple[Path, Path]] = field(default_factory=list)
    facts: dict[Path, ImageFacts] = field(default_factory=dict)
    label_facts: dict[Path, ImageFacts] = field(default_factory=dict)
    by_name: bool = True
    own_file: bool = False
    left_out: dict[str, Counter[str]] = field(
        default_factory=lambda: dict(images=Counter(), annotations=Counter())
    )

    def paths(self) -> list[Path]:
        """Return the named image files, each once."""
        if self.pairs:
            return [image for image, _ in self.pairs]
        names = [entry.get('file_name') for entry in self.records.get('images', [])]
        return list(dict.fromkeys(self.images / n for n in names if isinstance(n, str)))


@dataclass
class Dataset:
    """Splits and classes.

    Args:
        layout: a key of `backbones.data.layouts.folder.LAYOUTS`.
        root: the dataset's folder.
        splits: by name, training first; if a config joins several datasets, the second is
            'train 2'.
        classes: names; for label maps, in the order of the values.
        zero_ignored: label 0 means "ignore", and the first class is label 1.
        channels: how many are read from each image, as they are; 0 for 8-bit RGB; None
            until the images decide.
        values: the type of their values, such as 'uint16', if read as they are; None until
            the images decide.
        mapping: from values or colours of label maps to labels; None if the values are labels.
        ignore: values of label maps to ignore, if `mapping` does not say so yet.
        settled: whether `mapping` is known without looking at the values, as in a config.
        detection: whether it has instances rather than label maps.
        masks: whether masks of instances are learned or measured; a detector of boxes reads none.
        notes: decisions of a reader that a user may not expect.
    """

    layout: str
    root: Path
    splits: dict[str, Split]
    classes: tuple[str, ...] = ()
    zero_ignored: bool = False
    channels: int | None = None
    values: str | None = None
    mapping: LabelMapping | None = None
    ignore: tuple[int, ...] = ()
    settled: bool = False
    detection: bool = True
    masks: bool = True
    notes: list[str] = field(default_factory=list)

    def parts(self, name: str) -> list[Split]:
        """Return the splits of that name: several if a config joins datasets."""
        return [split for split in self.splits.values() if split.name == name]

    def label_facts(self) -> list[ImageFacts]:
        """Return the facts about all label maps that were read, in any split."""
        return [fact for split in self.splits.values() for fact in split.label_facts.values()]

    def has_masks(self) -> bool:
        """Return whether instances have masks in every split that has instances."""
        return self.detection and bool(self.splits) and not self.without_masks()

    def without_masks(self) -> list[str]:
        """Return the splits that have instances but no mask."""
        return [
            name
            for name, split in self.splits.items()
            if (annotations := split.records.get('annotations'))
            and not any(map(has_mask, annotations))
        ]
