"""Splits that fill up while the files of a layout are read."""

from dataclasses import dataclass, field
from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.layouts.shapes import Records


@dataclass
class Collected:
    """The splits met so far, each with its future records.

    Args:
        root: the dataset's folder, to which the names of images are relative.
        classes: names in order.
    """

    root: Path
    classes: tuple[str, ...]
    found: dict[str, tuple[Split, Records]] = field(default_factory=dict)

    def of(self, name: str, source: Path) -> tuple[Split, Records]:
        """Return a split and its records; a new one has this source."""
        new = Split(name, source, self.root, own_file=True), Records(self.classes)
        return self.found.setdefault(name, new)

    def splits(self) -> list[Split]:
        """Return all splits with their collected records."""
        for split, records in self.found.values():
            split.records = records.as_coco()
        return [split for split, _ in self.found.values()]
