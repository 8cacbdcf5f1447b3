"""Checks of a dataset's splits: classes in each, masks, images in other folders or in none."""

from collections import Counter
from collections.abc import Iterator

from backbones.data.checks.name_checks import check_names
from backbones.data.dataset import Dataset, Split
from backbones.data.faults.faults import Faults
from backbones.data.files.listing import SUFFIXES, directly_in
from backbones.data.files.segmentations import has_mask
from backbones.data.files.split_names import split_of

MOSTLY = 0.8  # a larger share of unused classes cannot be intentional
JUDGED = 5  # label maps that are enough to tell which classes a dataset has


def check_splits(
    dataset: Dataset, faults: Faults, counts: dict[str, Counter], *, complete: bool
) -> None:
    """Compare the splits with each other.

    Args:
        counts: per split, the number of instances or label maps by class.
        complete: whether all files were checked.
    """
    if not dataset.classes:
        faults.add('no-class-names', dataset.root, _values_seen(dataset))
    if not dataset.parts('train'):
        faults.add('no-training', dataset.root, f'found {", ".join(dataset.splits)}')
    if dataset.parts('train') and not dataset.parts('val'):
        faults.add('no-validation', dataset.root, f'found {", ".join(dataset.splits)}')
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
    for split in dataset.splits.values() if complete else ():
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


def _check_unused(dataset: Dataset, split: Split, faults: Faults) -> None:
    """Find image files that are beside those of a split, but belong to no split."""
    if dataset.layout not in ('coco', 'voc'):
        return
    named = {path for each in dataset.splits.values() for path in each.paths()}
    folders = {path.parent for path in split.paths()}
    for path in (p for folder in sorted(folders) for p in directly_in(folder)):
        if path not in named and path.suffix.lower() in SUFFIXES and path.is_file():
            faults.add('unused-image', path.parent, path.name)
