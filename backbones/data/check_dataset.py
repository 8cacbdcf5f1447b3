"""Checking a whole dataset: its files, annotations, label maps, classes and splits."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from backbones.data.checks.file_checks import check_contents, check_image_files, check_sizes
from backbones.data.checks.instance_checks import InstanceChecks
from backbones.data.checks.label_checks import check_labels, check_palettes
from backbones.data.checks.split_checks import check_splits
from backbones.data.configs.channels import (
    check_channels,
    check_scales,
    choose_channels,
    usual_values,
)
from backbones.data.dataset import Dataset, Split
from backbones.data.faults.faults import Faults
from backbones.data.files.images import image_facts, label_facts
from backbones.data.files.parallel import in_parallel
from backbones.data.files.segmentations import has_mask
from backbones.data.layouts.foreign import other_images
from backbones.data.layouts.label_colours import are_in_colours, name_by_colours
from backbones.data.layouts.label_values import apply_mapping, settle
from backbones.data.layouts.shapes import MARKS

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
        check_channels(split, dataset, faults)
        check_image_files(split, dataset, faults)
        if dataset.detection:
            check_sizes(split, faults)
            InstanceChecks(split, faults, masks=dataset.masks).run()
        else:
            check_labels(split, dataset, faults)
    check_scales(dataset, faults)
    check_palettes(dataset, faults)
    counts = {name: class_counts(dataset, split) for name, split in dataset.splits.items()}
    if dataset.splits:
        check_splits(dataset, faults, counts, complete=sample is None)
    for name in dataset.classes:
        report.classes[name] = {split: count[name] for split, count in counts.items()}
    report.counts = {name: split_counts(split) for name, split in dataset.splits.items()}
    check_contents(dataset, faults, progress=progress)
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
