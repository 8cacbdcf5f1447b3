"""Checks of label maps: files, sizes and values."""

from pathlib import Path

from backbones.data.dataset import Dataset, Split
from backbones.data.faults import EXAMPLES, Faults, add_file_fault
from backbones.data.images import ImageFacts
from backbones.data.nearby_files import near

LAST = 254  # the last label that MMSegmentation can load, in 8 bits, besides "ignore"
IGNORED = 255  # the label that MMSegmentation excludes from loss and metric


def check_labels(split: Split, dataset: Dataset, faults: Faults) -> None:
    """Check those label maps of a split that were read."""
    folder, total = split.source, len(split.label_facts)
    values: set[int] = set()
    for image, label in split.pairs:
        fact = split.label_facts.get(label)
        if fact is None:
            continue
        if fact.fault == 'missing-image':
            hint = near(label) if faults.count('missing-label') < EXAMPLES else ''
            faults.add('missing-label', folder, f'{label.name}{hint}', total=total)
            continue
        add_file_fault(fact, folder, total, faults)
        if fact.fault:
            continue
        if fact.lossy:
            faults.add('label-compressed', folder, f'{label.name}, {fact.format}', total=total)
        elif fact.mode.split()[0] in ('RGB', 'RGBA', 'LA', 'CMYK', 'YCbCr'):
            detail = f' ({fact.detail})' if fact.detail else ''
            faults.add('label-colour', folder, f'{label.name}, {fact.mode}{detail}', total=total)
        elif fact.values is not None:
            values |= _check_values(fact, dataset, folder, total, faults)
        size = split.facts[image].size if image in split.facts else (0, 0)
        if any(size) and size != fact.size:
            example = f'{label.name} is {fact.size[0]}x{fact.size[1]}, its image ' \
                      f'{size[0]}x{size[1]}'  # fmt: skip
            faults.add('label-size', folder, example, total=total)
    if values and values <= {0, IGNORED} and IGNORED in values:
        faults.add('label-0-255', folder, f'values {sorted(values)}')


def _check_values(
    fact: ImageFacts, dataset: Dataset, folder: Path, total: int, faults: Faults
) -> set[int]:
    assert fact.values is not None
    broken = [float(v) for v in fact.values if v != v // 1]
    if broken:
        example = f'{fact.path.name} has {broken[0]:g}, which is not an integer'
        faults.add('label-values', folder, example, total=total)
    values = {int(value) for value in fact.values}
    last = min(len(dataset.classes) - 1 + dataset.zero_ignored, LAST)
    beyond = sorted(value for value in values if value != IGNORED and not 0 <= value <= last)
    if beyond and dataset.classes:
        shown = ', '.join(map(str, beyond[:5])) + (', ...' if len(beyond) > 5 else '')
        example = f'{fact.path.name} has {shown}; {len(dataset.classes)} classes allow 0 to ' \
                  f'{last} and {IGNORED}'  # fmt: skip
        faults.add('label-values', folder, example, total=total)
    if values == {IGNORED}:
        faults.add('label-ignored', folder, fact.path.name, total=total)
    return values
