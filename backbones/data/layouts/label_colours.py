"""Colours of label maps that no file explains."""

from collections import Counter
from collections.abc import Callable

from backbones.data.dataset import Dataset
from backbones.data.faults.faults import Faults
from backbones.data.files.images import COLOURED, ImageFacts, label_facts
from backbones.data.files.label_mapping import LabelMapping, unpacked
from backbones.data.layouts.label_values import MOST, pixels_of
from backbones.errors import listed

LOOKED_AT = 5  # files to look at, to tell label maps from photographs
SHOWN = 6  # colours in a message


def are_in_colours(dataset: Dataset) -> bool:
    """Return whether label maps have colours that nothing explains."""
    return dataset.mapping is None and any(map(_is_coloured, dataset.label_facts()))


def name_by_colours(dataset: Dataset, read: Callable[[], None], faults: Faults) -> None:
    """Name the classes by their colours if these are few; otherwise report the colours.

    Args:
        read: reads all label maps again, as colours.
    """
    some = [fact.path for fact in dataset.label_facts() if _is_coloured(fact)][:LOOKED_AT]
    seen = pixels_of([label_facts(path, decode=True, in_colours=True) for path in some])
    if dataset.classes or dataset.ignore or not 0 < len(seen) <= MOST:
        names = listed([path.name for path in some])
        dataset.notes.append(f'colours of {names}: {_shown(seen)}')
        return
    before = {name: split.label_facts for name, split in dataset.splits.items()}
    for split in dataset.splits.values():
        split.label_facts = {}
    read()
    seen = pixels_of(dataset.label_facts())
    if len(seen) > MOST:
        dataset.notes.append(f'colours of the label maps: {_shown(seen)}')
        for name, facts in before.items():
            dataset.splits[name].label_facts = facts
        return
    colours = tuple(sorted(unpacked(value) for value in seen))
    dataset.mapping = LabelMapping(colours)
    dataset.classes = tuple('colour {},{},{}'.format(*colour) for colour in colours)
    faults.add('unnamed-colours', dataset.root, _shown(seen))


def _is_coloured(fact: ImageFacts) -> bool:
    unexplained = not fact.fault and fact.values is None and fact.mode
    return bool(unexplained) and fact.mode.split()[0] in COLOURED


def _shown(seen: Counter[int]) -> str:
    total = max(seen.total(), 1)
    most = [f'{",".join(map(str, unpacked(v)))} ({100 * n / total:.2g} %)'
            for v, n in seen.most_common(SHOWN)]  # fmt: skip
    more = f', and {len(seen) - SHOWN} more' if len(seen) > SHOWN else ''
    return f'{", ".join(most)}{more}'
