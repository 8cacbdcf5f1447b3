"""Checks of label maps: files, sizes and values."""

from pathlib import Path

from backbones.data.dataset import Dataset, Split
from backbones.data.faults.faults import EXAMPLES, Faults, add_file_fault
from backbones.data.files.images import COLOURED, ImageFacts
from backbones.data.files.label_mapping import IGNORED, unpacked
from backbones.data.files.nearby_files import near

LAST = 254  # the largest label that MMSegmentation can load, besides 255, "ignore"


def check_labels(split: Split, dataset: Dataset, faults: Faults) -> None:
    """Check the label maps of a split that were read."""
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
        if fact.fault:
            add_file_fault(fact, folder, total, faults)
            continue
        if fact.lossy and (dataset.mapping is None or dataset.mapping.threshold is None):
            faults.add('label-compressed', folder, f'{label.name}, {fact.format}', total=total)
        elif fact.values is None and fact.mode.split()[0] in COLOURED:
            faults.add('label-colour', folder, f'{label.name}, {fact.mode}', total=total)
        elif fact.values is not None:
            _add_unmapped(fact, dataset, folder, total, faults)
            values |= _check_values(fact, dataset, folder, total, faults)
        size = split.facts[image].size if image in split.facts else (0, 0)
        if any(size) and size != fact.size:
            example = f'{label.name} is {fact.size[0]}x{fact.size[1]}, its image ' \
                      f'{size[0]}x{size[1]}'  # fmt: skip
            faults.add('label-size', folder, example, total=total)
    if values and values <= {0, IGNORED} and IGNORED in values:
        faults.add('label-0-255', folder, f'values {sorted(values)}')


def check_palettes(dataset: Dataset, faults: Faults) -> None:
    """Compare the colours in which label maps display their values.

    Programs that choose a palette for each file by its colours number the classes differently.
    """
    facts = dataset.label_facts()
    shown: dict[int, tuple[tuple[int, ...], str]] = {}
    for fact in facts:
        for value, colour in fact.palette.items():
            known, where = shown.setdefault(value, (colour, fact.path.name))
            if colour != known:
                example = f'{value} is {colour} in {fact.path.name}, {known} in {where}'
                faults.add('palettes-differ', dataset.root, example, total=len(facts))
                break


def _add_unmapped(
    fact: ImageFacts, dataset: Dataset, folder: Path, total: int, faults: Faults
) -> None:
    if not fact.unmapped:
        return
    in_colours = dataset.mapping is not None and dataset.mapping.in_colours
    what = (f'{unpacked(v) if in_colours else v} ({100 * s:.2g} %)' for v, s in fact.unmapped[:3])
    more = ', ...' if len(fact.unmapped) > 3 else ''
    kind = 'label-unmapped' if in_colours else 'label-values'
    example = f'{fact.path.name} has {", ".join(what)}{more} of its pixels'
    faults.add(kind, folder, example, total=total)


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
    if values == {IGNORED} and not fact.unmapped:
        faults.add('label-ignored', folder, fact.path.name, total=total)
    return values
