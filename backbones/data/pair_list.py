"""The list of a `ListedPairsDataset`: each line has an image, a tab, and its label map."""

import os
from pathlib import Path

from backbones.data.dataset import Split
from backbones.errors import UserError


def pairs_text(split: Split) -> str:
    """Return the list of a split's pairs, with paths relative to its two folders."""
    return ''.join(
        f'{os.path.relpath(image, split.images)}\t{os.path.relpath(label, split.source)}\n'
        for image, label in split.pairs
    )


def read_pairs(file: str | Path) -> list[tuple[str, str]]:
    """Read such a list.

    Raises:
        UserError: a line has no tab, or several.
    """
    lines = Path(file).read_text(encoding='utf-8').splitlines()
    pairs = []
    for number, line in enumerate(lines, 1):
        image, tab, label = line.partition('\t')
        if not tab or not image or not label or '\t' in label:
            raise UserError(
                f'{file} line {number} is {line[:80]!r}; expected an image and its label map, with '
                'a tab between them: write the config again with tools/new_config.py'
            )
        pairs.append((image, label))
    return pairs
