"""Deciding what the values of label maps mean, after they were read."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np

from backbones.data.dataset import Dataset
from backbones.data.faults.faults import Faults
from backbones.data.files.images import ImageFacts
from backbones.data.files.label_mapping import IGNORED, LabelMapping, read_raw, without
from backbones.errors import listed

BINARY = ('background', 'foreground')
MOST = 50  # maximum number of classes that are named by their values
# for black and white label maps with blurred edges: where black ends and white begins, the least
# number of values in between, and the largest share of such pixels in all and in the non-black ones
BLACK, WHITE, BETWEEN, SHARE, EDGE = 16, 239, 8, 0.05, 0.4
HALF = 128  # divides black from white
LEVEL = 20  # values that are further apart are not class numbers
# for label maps that hold instances: some map has MANY of them, and a share SURE has no gaps
MANY, SURE = 5, 0.9


def settle(dataset: Dataset, faults: Faults) -> None:
    """Decide what the values of all label maps mean, and turn them into labels.

    `--ignore` turns values into 255, and the other values become the classes in order. Two classes
    may be 0 and 255. Equal channels count as one. Classes without names are named by their values.
    """
    facts = dataset.label_facts()
    seen = pixels_of(facts)
    if not dataset.mapping:
        _name_by_values(dataset, seen, faults)
    if not dataset.mapping:
        dataset.mapping = _of_values(dataset, seen)
    apply_mapping(dataset)
    if any(fact.grey for fact in facts) and not dataset.mapping:
        # a mapping makes the loader read a single channel
        dataset.mapping = LabelMapping(tuple(range(len(dataset.classes))))


def pixels_of(facts: list[ImageFacts]) -> Counter[int]:
    """Return the values of label maps, or packed colours, in order, with the pixels of each."""
    found: Counter[int] = Counter()
    for fact in facts:
        if fact.values is not None and fact.counts is not None:
            found.update({int(v): int(n) for v, n in zip(fact.values, fact.counts)})
    return Counter(dict(sorted(found.items())))


def _is_blurred(seen: dict[int, int]) -> bool:
    """Return whether label maps are black and white with edges between them.

    Smoothing, scaling and JPEG create such edges. Class and instance numbers do not have that many
    values in between, or have only one value above them: 255, "ignore".
    """
    black, white = ({v for v in seen if inside(v)} for inside in (BLACK.__ge__, WHITE.__le__))
    between = {value: count for value, count in seen.items() if BLACK < value < WHITE}
    if not black or not white or 0 < len(between) < BETWEEN or len(between) + len(white) < 2:
        return False
    edges, rest = sum(between.values()), sum(seen[value] for value in white)
    return edges <= SHARE * sum(seen.values()) and edges <= EDGE * (edges + rest)


def _name_by_values(dataset: Dataset, seen: dict[int, int], faults: Faults) -> None:
    values = [value for value in seen if value not in (*dataset.ignore, IGNORED)]
    binary = {0, IGNORED} >= {*seen} and IGNORED in seen and IGNORED not in dataset.ignore
    if dataset.classes or not seen:
        return
    if binary or (not dataset.ignore and _is_blurred(seen)):
        dataset.classes = BINARY
    elif len(values) <= MOST:
        levels = _are_grey_levels(seen) and not dataset.ignore
        chosen = tuple(seen if levels else values)
        ignored = tuple(value for value in dataset.ignore if value != IGNORED)
        dataset.classes = tuple(f'label {value}' for value in chosen)
        if chosen and (ignored or chosen != (*range(len(chosen)),)):
            dataset.mapping = LabelMapping(chosen, ignored)
    if dataset.classes:
        faults.add('unnamed-labels', dataset.root, ', '.join(dataset.classes))
    _check_instances(dataset, faults)


def _are_grey_levels(seen: dict[int, int]) -> bool:
    """Return whether a few values are spread over 0 to 255, like 0, 128 and 255.

    Then 255 is one of them.
    """
    return (
        1 < len(seen) <= MOST
        and 0 in seen
        and all(after - before > LEVEL for before, after in pairwise(seen))
    )


def _check_instances(dataset: Dataset, faults: Faults) -> None:
    """Suspect instance numbers if nearly every map has 1, 2, 3, ... without a gap."""
    objects = [{int(v) for v in fact.values} - {0, IGNORED}
               for fact in dataset.label_facts() if fact.values is not None]  # fmt: skip
    lengths = Counter(len(values) for values in objects if values == {*range(1, len(values) + 1)})
    del lengths[0]
    filled = sum(map(bool, objects))
    if max(lengths, default=0) >= MANY and lengths.total() > SURE * filled and len(lengths) > 2:
        example = f'the highest values of a map are {listed(sorted(lengths))}'
        faults.add('label-instances', dataset.root, example)


def _of_values(dataset: Dataset, seen: dict[int, int]) -> LabelMapping | None:
    names, ignored = dataset.classes, tuple(i for i in dataset.ignore if i != IGNORED)
    number = len(names)
    if not names:
        return None
    if ignored:
        beyond = any(v >= number for v in seen if v not in (*ignored, IGNORED))
        inside = [value for value in ignored if value < number]
        if inside and not beyond and number > 1:  # the names include what is ignored
            left = [value for value in range(number) if value not in ignored]
            dataset.classes = tuple(names[value] for value in left)
            dataset.notes.append('ignored: ' + ', '.join(f'label {v} ({names[v]})' for v in inside))
            return LabelMapping(tuple(left), ignored)
        return without(ignored, number)
    binary = IGNORED in seen and {*seen} <= {0, IGNORED} and IGNORED not in dataset.ignore
    if number == 2 and binary:
        dataset.notes.append(f'0 and 255 are the labels of {names[0]} and {names[1]}')
        return LabelMapping((0, IGNORED))
    if number == 2 and _is_blurred(seen):
        dataset.notes.append(f'values below {HALF} are the label of {names[0]}, and the others '
                             f'that of {names[1]}: edges are smoothed or compressed')  # fmt: skip
        return LabelMapping(threshold=HALF)
    if number == len(seen) and _are_grey_levels(seen):
        which = ', '.join(f'{value} is {name}' for value, name in zip(seen, names))
        dataset.notes.append(f'values of label maps: {which}')
        return LabelMapping(tuple(seen))
    return None


def apply_mapping(dataset: Dataset) -> None:
    """Turn the values of all label maps into labels."""
    mapping = dataset.mapping
    if mapping is None:
        return
    for fact in dataset.label_facts():
        _map(fact, mapping)


def read_labels(path: Path, dataset: Dataset) -> np.ndarray | None:
    """Read a label map as a model sees it: (H, W) labels, 255 for "ignore".

    None if it has colours that no mapping explains. Pillow's errors are passed on.
    """
    mapping = dataset.mapping
    raw = read_raw(path, in_colours=mapping is not None and mapping.in_colours)
    if raw.ndim != 2:
        return None
    if mapping:
        return mapping.apply(raw)[0].astype(np.int64)
    labels = raw.astype(np.int64)
    if dataset.zero_ignored:
        return np.where((labels > 0) & (labels != IGNORED), labels - 1, IGNORED)
    return labels


def _map(fact: ImageFacts, mapping: LabelMapping) -> None:
    if fact.values is None or fact.counts is None:
        return
    labels, known = mapping.apply(fact.values)
    shares = fact.counts / fact.counts.sum()
    found = zip(fact.values[~known].tolist(), shares[~known].tolist())
    fact.unmapped = sorted(found, key=lambda pair: -pair[1])
    fact.values, fact.counts = np.unique(labels[known]), None
