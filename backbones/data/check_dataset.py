"""Checking a whole dataset: its files, annotations, label maps, classes and splits."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from backbones.data.checks.instance_checks import InstanceChecks
from backbones.data.checks.label_checks import check_labels, check_palettes
from backbones.data.checks.name_checks import check_names
from backbones.data.configs.channels import (
    check_channels,
    check_scales,
    choose_channels,
    usual_values,
)
from backbones.data.dataset import Dataset, Split
from backbones.data.faults.faults import Faults, add_file_fault
from backbones.data.files.images import content_key, image_facts, label_facts
from backbones.data.files.listing import SUFFIXES, directly_in
from backbones.data.files.numbers import are_numbers
from backbones.data.files.parallel import in_parallel
from backbones.data.files.segmentations import has_mask
from backbones.data.files.split_names import split_of
from backbones.data.layouts.foreign import other_images
from backbones.data.layouts.label_colours import are_in_colours, name_by_colours
from backbones.data.layouts.label_values import apply_mapping, settle
from backbones.data.layouts.shapes import MARKS
from backbones.pyramid import MIN_SIZE

MOSTLY = 0.8  # a larger share of unused classes cannot be intentional
JUDGED = 5  # label maps that are enough to tell which classes a dataset has
ALL_DECODED = 5000  # up to this many images, all are decoded by default


@dataclass
class Report:
    """The findings of a check.

    Args:
        counts: per split, the numbers of images and annotations, sizes and pixel formats.
        classes: class name -> per split, the number of instances or of label maps.
        notes: what was not checked.
    """

    dataset: Dataset
    faults: Faults
    counts: dict[str, dict[str, object]] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def check_dataset(
    dataset: Dataset,
    faults: Faults,
    *,
    decode: bool = False,
    sample: int | None = None,
    progress: bool = False,
) -> Report:
    """Check everything that can be checked without a model.

    Args:
        faults: those found while reading; more are added.
        decode: load all pixels, even of a large dataset.
        sample: the number of image files of each split to check; None checks all.
        progress: show a progress bar on stderr.
    """
    report = Report(dataset, faults)
    number = sum(len(split.paths()) for split in dataset.splits.values())
    decoded = decode or (number <= ALL_DECODED and sample is None)
    if not decoded:
        report.notes.append(
            'image files were not decoded, so damage in the middle of a file goes unnoticed; '
            '--decode finds it'
        )
    folders = {path.parent for split in dataset.splits.values() for path in split.paths()}
    folders |= {split.images for split in dataset.splits.values() if not split.paths()}
    for path in other_images(folders):
        faults.add('unread-format', path.parent, path.name)

    def look(*, in_colours: bool) -> None:
        for split in dataset.splits.values():
            _look_at_files(split, decode=decoded, sample=sample, progress=progress,
                           in_colours=in_colours)  # fmt: skip

    look(in_colours=dataset.mapping is not None and dataset.mapping.in_colours)
    if dataset.settled:
        apply_mapping(dataset)
    elif not dataset.detection:
        if are_in_colours(dataset):
            name_by_colours(dataset, partial(look, in_colours=True), faults)
        settle(dataset, faults)
    report.notes += dataset.notes
    if dataset.channels is None:
        dataset.channels = choose_channels(dataset.splits.values())
    if dataset.channels:
        dataset.values = dataset.values or usual_values(dataset.splits.values(), dataset.channels)
        report.notes.append(
            f'images are read with {dataset.channels} channels, with the values of the files'
        )
    for split in dataset.splits.values():
        _check_image_files(split, dataset, faults)
        if dataset.detection:
            _check_sizes(split, faults)
            InstanceChecks(split, faults, masks=dataset.masks).run()
        else:
            check_labels(split, dataset, faults)
    check_scales(dataset, faults)
    check_palettes(dataset, faults)
    _check_splits(report, complete=sample is None)
    _check_contents(dataset, faults, progress=progress)
    return report


def _look_at_files(
    split: Split, *, decode: bool, sample: int | None, progress: bool, in_colours: bool
) -> None:
    paths = [path for path in split.paths() if path not in split.facts]
    labels = [label for _, label in split.pairs if label not in split.label_facts]
    if sample:
        paths = paths[:: -(-len(paths) // sample) or 1]
        labels = labels[:: -(-len(labels) // sample) or 1]
    look_at_labels = partial(label_facts, decode=decode or bool(sample), in_colours=in_colours)
    for facts, files, look, what in (
        (split.facts, paths, partial(image_facts, decode=decode), 'images'),
        (split.label_facts, labels, look_at_labels, 'label maps'),
    ):
        title = f'{what} of {split.name}'
        for fact in in_parallel(look, files, title=title, progress=progress):
            facts[fact.path] = fact


def _check_image_files(split: Split, dataset: Dataset, faults: Faults) -> None:
    total, channels = len(split.facts), dataset.channels
    check_channels(split, dataset, faults)
    if not total:
        faults.add('empty-split', split.source, split.name)
    for path, fact in split.facts.items():
        if fact.fault:
            add_file_fault(fact, split.images, total, faults)
            continue
        sides = f'{path.name}, {fact.size[0]}x{fact.size[1]}'
        if fact.bits > 8 and not channels:
            faults.add('deep-image', split.images, f'{path.name}, {fact.bits} bits', total=total)
        transparent = fact.mode in ('RGBA', 'LA', 'PA') or 'transparency' in fact.mode
        if transparent and not channels:
            faults.add('transparent-image', split.images, f'{path.name}, {fact.mode}', total=total)
        if fact.frames > 1 and not channels:
            faults.add('several-frames', split.images, f'{path.name}, {fact.frames}', total=total)
        if min(fact.size) < MIN_SIZE:
            faults.add('small-image', split.images, sides, total=total)
        if fact.turned:
            faults.add('turned-image', split.images, f'{path.name}, to {sides}', total=total)


def _check_sizes(split: Split, faults: Faults) -> None:
    """Compare the records' width and height with the files; fill in missing ones."""
    for entry in split.records.get('images', []):
        fact = split.facts.get(split.images / str(entry.get('file_name')))
        if fact is None or fact.fault:
            continue
        said = entry.get('width'), entry.get('height')
        if None in said:
            if split.own_file:  # the size is written there; VOC may omit it
                entry['width'], entry['height'] = fact.size
        elif are_numbers(said) and said != fact.size:
            kind = 'size-swapped' if said == fact.size[::-1] else 'size-differs'
            turned = ', rotated by EXIF' if fact.turned else ''
            example = f'{entry["file_name"]}: {said[0]}x{said[1]}, the image is ' \
                      f'{fact.size[0]}x{fact.size[1]}{turned}'  # fmt: skip
            faults.add(kind, split.source, example, total=len(split.records['images']))


def _check_splits(report: Report, *, complete: bool) -> None:
    """Count instances, and compare the splits with each other."""
    dataset, faults = report.dataset, report.faults
    if not dataset.splits:
        return
    if not dataset.classes:
        faults.add('no-class-names', dataset.root, _values_seen(dataset))
    if not dataset.parts('train'):
        faults.add('no-training', dataset.root, f'found {", ".join(dataset.splits)}')
    if dataset.parts('train') and not dataset.parts('val'):
        faults.add('no-validation', dataset.root, f'found {", ".join(dataset.splits)}')
    counts = {name: class_counts(dataset, split) for name, split in dataset.splits.items()}
    for name in dataset.classes:
        report.classes[name] = {split: count[name] for split, count in counts.items()}
    total = len(dataset.classes)
    for part, kind in (('train', 'class-unseen'), ('val', 'class-not-judged')):
        count: Counter = Counter()
        for key, split in dataset.splits.items():
            count.update(counts[key] if split.name == part else {})
        unseen = [name for name in dataset.classes if not count[name]] if count else []
        if part == 'train' and total > 4 and len(unseen) > MOSTLY * total and _is_judged(dataset):
            kind = 'wrong-classes'
        elif not (complete or dataset.detection):
            continue  # unchecked label maps may have them
        for name in unseen:
            faults.add(kind, f'split {part}', repr(name), total=total)
    check_names(dataset, faults)
    _check_roles(dataset, faults)
    without = dataset.without_masks()
    if (
        dataset.masks
        and dataset.detection
        and without
        and any(map(has_mask, _annotations(dataset)))
    ):
        faults.add('masks-differ', dataset.root, f'none in {", ".join(without)}')
    for name, split in dataset.splits.items():
        report.counts[name] = split_counts(split)
        if complete:
            _check_unused(dataset, split, faults)


def _check_roles(dataset: Dataset, faults: Faults) -> None:
    """Find training images in a folder named like another split."""
    for split in dataset.parts('train'):
        for folder in sorted({path.parent for path in split.paths()}):
            inside = folder.relative_to(dataset.root).parts if (
                folder.is_relative_to(dataset.root)) else ()  # fmt: skip
            called = {found for part in inside if (found := split_of(part))}
            if called and 'train' not in called:
                faults.add('other-split', split.source, '/'.join(inside))


def _annotations(dataset: Dataset) -> Iterator[dict]:
    for split in dataset.splits.values():
        yield from split.records.get('annotations', [])


def _is_judged(dataset: Dataset) -> bool:
    """Return whether label maps show which classes exist; detection datasets list theirs."""
    return (
        not dataset.detection
        and sum(len(split.label_facts) for split in dataset.parts('train')) >= JUDGED
    )


def _values_seen(dataset: Dataset) -> str:
    seen = {int(v) for f in dataset.label_facts() if f.values is not None for v in f.values}
    return f'label values {sorted(seen)[:12]}' if seen else 'no names at all'


def class_counts(dataset: Dataset, split: Split) -> Counter:
    """Count the instances of each class, or the label maps that contain it."""
    if dataset.detection:
        names = {c.get('id'): c.get('name') for c in split.records.get('categories', [])}
        ids = (a.get('category_id') for a in split.records.get('annotations', []))
        return Counter(names.get(i) for i in ids if isinstance(i, int | float | str))
    values = (f.values for f in split.label_facts.values() if f.values is not None)
    found = Counter(int(v) for some in values for v in some)
    first = int(dataset.zero_ignored)
    return Counter({name: found[i] for i, name in enumerate(dataset.classes, first)})


def split_counts(split: Split) -> dict[str, object]:
    """Count the contents of a split, for the report."""
    good = [fact for fact in split.facts.values() if not fact.fault]
    counts: dict[str, object] = {'images': len(split.paths())}
    if split.pairs:
        counts['label maps'] = len(split.pairs)
    else:
        annotations = split.records.get('annotations', [])
        counts['annotations'] = len(annotations)
        counts['with masks'] = sum(map(has_mask, annotations))
        for mark in MARKS:
            if number := sum(bool(a.get(mark)) for a in annotations):
                counts[f'marked {mark}'] = number
    if good:
        areas = sorted((fact.size[0] * fact.size[1], fact.size) for fact in good)
        sizes = [f'{w}x{h}' for _, (w, h) in (areas[0], areas[len(areas) // 2], areas[-1])]
        counts['sizes: smallest, median, largest'] = ', '.join(sizes)
        modes = Counter(fact.mode for fact in good)
        counts['pixels'] = ', '.join(f'{n} {mode}' for mode, n in modes.most_common())
    return counts


def _check_unused(dataset: Dataset, split: Split, faults: Faults) -> None:
    """Find image files that are beside those of a split, but belong to no split."""
    if dataset.layout not in ('coco', 'voc'):
        return
    named = {path for each in dataset.splits.values() for path in each.paths()}
    folders = {path.parent for path in split.paths()}
    for path in (p for folder in sorted(folders) for p in directly_in(folder)):
        if path not in named and path.suffix.lower() in SUFFIXES and path.is_file():
            faults.add('unused-image', path.parent, path.name)


def _check_contents(dataset: Dataset, faults: Faults, *, progress: bool) -> None:
    """Find identical images; files are read only if their size and their beginning are equal."""
    images = [(split.name, path) for split in dataset.splits.values()
              for path, fact in split.facts.items()
              if fact.fault in ('', 'damaged-image')]  # fmt: skip
    alike = _sharing(images, [path.stat().st_size for _, path in images])
    for whole in (False, True):
        look = partial(content_key, whole=whole)
        paths = [path for some in alike for _, path in some]
        keys = in_parallel(look, paths, title='same images', progress=progress)
        alike = _sharing([image for some in alike for image in some], keys)
    for (split, first), *others in alike:
        for where, path in others:
            if (where, path) == (split, first):  # a config that joins a dataset with itself
                continue
            kind = 'image-twice' if where == split else 'image-in-two-splits'
            names = f'{split}: {first.name} and {where}: {path.name}'
            faults.add(kind, dataset.root, names)


def _sharing(
    images: Iterable[tuple[str, Path]], keys: Iterable[Hashable]
) -> list[list[tuple[str, Path]]]:
    """Group the images that share a key."""
    found: dict[Hashable, list[tuple[str, Path]]] = {}
    for image, key in zip(images, keys):
        found.setdefault(key, []).append(image)
    return [some for some in found.values() if len(some) > 1]
