"""Deciding a folder's class names, and what a file says about the values of label maps."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from backbones.data.dataset import Dataset, Split
from backbones.data.faults.faults import Faults
from backbones.data.files.images import DAMAGED
from backbones.data.files.label_mapping import IGNORED, LabelMapping, Value, raw_values
from backbones.data.layouts import known_sets
from backbones.data.layouts.label_names import VOID, LabelNames, read_names
from backbones.errors import UserError, did_you_mean, listed

BACKGROUND = ('background', '_background_')
LOOKED_AT = 5  # label maps that show whether they are in colours


def name_classes(
    dataset: Dataset,
    splits: list[Split],
    in_data: Sequence[str],
    given: Sequence[str],
    ignore: Sequence[str],
    faults: Faults,
) -> None:
    """Set a dataset's class names, and what is known of its label maps before they are read.

    Args:
        in_data: names in the annotations.
        given, ignore: `--classes` and `--ignore`.

    Raises:
        UserError: `given` contradicts a file, or `ignore` names nothing.
    """
    unheard = Faults() if given else faults
    if dataset.detection:
        every = read_names(dataset.root, unheard, plain=('classes.txt',)) if (
            dataset.layout in ('voc', 'labelme')) else []  # fmt: skip
        names = every[0].names if every and not every[0].values else ()
        # the list may belong to label maps beside the boxes
        listed_names = tuple(n for n in names if n in in_data or n not in BACKGROUND)
        dataset.classes = tuple(given) or listed_names or tuple(in_data)
        if ignore:
            raise UserError(
                '--ignore is for label maps, but this dataset has instances: leave it out'
            )
        return
    every = read_names(dataset.root, unheard)
    there = every[0] if every else None
    void: tuple[int, ...] = ()
    known = None if there else known_sets.recognise(dataset.root, splits)
    if known and {*given} <= {*known[0].names}:
        there, void = known
    names = there.names if there else ()
    mapped = there is not None and there.values is not None and _fits(there, splits)
    if there and not mapped:
        there = replace(there, values=None)
    for other in every[1:]:
        # with --classes, lists without values are not needed
        if there and (said := there.contradicts(other)):
            (faults if other.values else unheard).add('names-conflict', dataset.root, said)
    if there and mapped:
        _map(dataset, there, given, ignore, void, faults)
        return
    if sorted(given) == sorted(names) and tuple(given) != names and there:
        raise UserError(  # the order of the names gives the pixel values
            f'--classes is {", ".join(given)}, but {there.file} has {", ".join(names)}: is label 0 '
            f'{given[0]!r} or {names[0]!r}? Leave --classes out, or correct the file'
        )
    dataset.classes = tuple(given) or names
    dataset.ignore = tuple(_number(word, dataset.classes) for word in ignore)


def _number(word: str, names: Sequence[str]) -> int:
    if word in names:
        return names.index(word)
    if word.isdecimal() and int(word) < 1 << 16:
        return int(word)
    raise UserError(f'--ignore {word} is neither a value of label maps, such as 11, nor a class'
                    f'{did_you_mean(word, names)}; classes: {listed(names) or "none"}')  # fmt: skip


def _fits(there: LabelNames, splits: list[Split]) -> bool:
    """Return whether label maps have the values that a file lists, and not 0, 1, 2, ..."""
    assert there.mapping is not None
    if not there.mapping.in_colours:
        return True
    number = len(there.names)
    for label in [label for split in splits for _, label in split.pairs[:LOOKED_AT]]:
        try:
            with Image.open(label) as image:
                plain = len(image.getbands()) == 1
                values = np.unique(np.asarray(image)) if plain else np.array([])
                colours = np.unique(raw_values(image, in_colours=True))
        except DAMAGED:
            continue
        if plain and not there.mapping.apply(colours)[1].all():
            return not all(value < number or value == IGNORED for value in values)
    return True


def _map(
    dataset: Dataset,
    there: LabelNames,
    given: Sequence[str],
    ignore: Sequence[str],
    void: tuple[int, ...],
    faults: Faults,
) -> None:
    """Map the values or colours that a file lists; void ones are ignored unless they are given."""
    assert there.values is not None
    value_of = dict(zip(there.names, there.values))
    unknown = [name for name in given if name not in value_of]
    if unknown:
        raise UserError(f'--classes has {listed(unknown)}, but {there.file} has '
                        f'{listed(there.names)}')  # fmt: skip
    ignored: list[Value] = list(void)
    for word in ignore:
        if word in value_of:
            ignored.append(value_of[word])
        else:
            ignored.append(_value(word, there))
    names = tuple(given) or tuple(n for n in there.names if n.lower() not in VOID)
    names = tuple(name for name in names if value_of[name] not in ignored)
    for name in there.names:
        if name not in names and name not in ignore and value_of[name] not in ignored:
            ignored.append(value_of[name])
            faults.add('void-ignored', there.file, f'{name!r} ({value_of[name]})')
    for value in void:
        faults.add('void-ignored', there.file, f'value {value}')
    dataset.classes = names
    dataset.mapping = LabelMapping(tuple(value_of[n] for n in names), tuple(dict.fromkeys(ignored)))


def _value(word: str, there: LabelNames) -> Value:
    numbers = [int(part) for part in word.split(',') if part.strip().isdecimal()]
    if len(numbers) == 3:
        return numbers[0], numbers[1], numbers[2]
    if len(numbers) == 1:
        return numbers[0]
    raise UserError(f'--ignore {word} is neither a name in {there.file}, nor a value such as 11, '
                    f'nor a colour such as 0,0,0{did_you_mean(word, there.names)}')  # fmt: skip
