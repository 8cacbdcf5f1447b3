"""Checks of image files: damage, kinds of pixels, sizes, duplicates."""

from collections.abc import Hashable, Iterable
from functools import partial
from pathlib import Path

from backbones.data.dataset import Dataset, Split
from backbones.data.faults.faults import Faults, add_file_fault
from backbones.data.files.images import content_key
from backbones.data.files.numbers import are_numbers
from backbones.data.files.parallel import in_parallel
from backbones.pyramid import MIN_SIZE


def check_image_files(split: Split, dataset: Dataset, faults: Faults) -> None:
    """Find images that are damaged, small, turned, or not 8-bit RGB."""
    total, channels = len(split.facts), dataset.channels
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


def check_sizes(split: Split, faults: Faults) -> None:
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


def check_contents(dataset: Dataset, faults: Faults, *, progress: bool) -> None:
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
