"""Reading folders of images and label maps, paired by name."""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.faults.faults import EXAMPLES, Faults
from backbones.data.files import similar_names
from backbones.data.files.image_finder import alike, spelled_otherwise
from backbones.data.files.listing import SUFFIXES, directly_in, list_images, walk
from backbones.data.files.nearby_files import near
from backbones.data.files.split_names import SPLITS

IMAGES = ('images', 'imgs', 'img', 'image', 'img_dir', 'jpegimages', 'leftimg8bit',
          'imgsfine/leftimg8bit', '701_stillsraw_full')  # fmt: skip
LABELS = ('masks', 'labels', 'annotations', 'mask', 'label', 'ann', 'ann_dir', 'segmentation',
          'gt', 'gtfine', 'labeledapproved_full')  # fmt: skip
# suffixes added to the name of an image's folder, and to the image's name
FOLDERS = ('annot', '_labels', '_label', '_masks', '_mask', '_annotations', '_gt', 'masks')
ENDS = ('', '_mask', '_masks', '_label', '_labels', '_lab', '_seg', '_segmentation', '_gt', '_m',
        '_L', '_P', '-mask', '-label', '-seg', '_gtFine_labelTrainIds',
        '_gtFine_labelIds')  # fmt: skip
IMAGE_END = re.compile('_leftImg8bit$')
LOOKED_AT = 200  # images of a folder to look at
NEAR = 5  # images for which to look for a label map with a similar name


@dataclass(frozen=True)
class Pair:
    """A folder of images and one of label maps, perhaps the same.

    Args:
        end: what a label map's name has after the image's name.
        similar: the names differ by words that all names of a folder share.
    """

    images: Path
    labels: Path
    end: str = ''
    similar: bool = False


def find(root: Path) -> dict[str, Pair]:
    """Return each split's folders: images/train and masks/train, train/images and train/masks,
    train and trainannot, or one folder with a.jpg and a_mask.png."""
    return {split: pairs[0] for split, pairs in _candidates(root).items()}


def find_similar(root: Path) -> dict[str, Pair]:
    """Return each split's folders by words in their names, with files of similar names."""
    return {split: pairs[0] for split, pairs in _similar(root).items()}


def _similar(root: Path) -> dict[str, list[Pair]]:
    found = similar_names.folders_of_splits(root)
    return {split: [_end(*pair, whole=True) or Pair(*pair, similar=True) for pair in pairs]
            for split, pairs in found.items()}  # fmt: skip


def _candidates(root: Path) -> dict[str, list[Pair]]:
    """Return the pairs of folders that each split may have."""
    there = {p.relative_to(root).as_posix().lower(): p for p in _folders(root)}
    places = {split: [place for word in words for place in _of_split(word)]
              for split, words in SPLITS.items()}  # fmt: skip
    found = {split: pairs for split, some in places.items() if (pairs := _pairs(there, some))}
    if found:
        return found
    # no splits: all images are for training until they are divided
    whole = _pairs({**there, '.': root}, [*((i, a) for i in IMAGES for a in LABELS), ('.', '.')])
    return {'train': whole} if whole else {}


def _of_split(word: str) -> Iterator[tuple[str, str]]:
    yield from ((f'{i}/{word}', f'{a}/{word}') for i in IMAGES for a in LABELS)
    yield from ((f'{word}/{i}', f'{word}/{a}') for i in IMAGES for a in LABELS)
    yield from ((word, f'{word}{end}') for end in FOLDERS)
    yield from ((f'{word}_{i}', f'{word}_{a}') for i in IMAGES for a in LABELS)
    yield word, word


def _pairs(there: dict[str, Path], places: list[tuple[str, str]]) -> list[Pair]:
    both = [(there[i], there[a]) for i, a in places if i in there and a in there]
    return [pair for images, labels in both if (pair := _end(images, labels))]


def _end(images: Path, labels: Path, *, whole: bool = False) -> Pair | None:
    """Find how label maps are named; None if none belongs to an image, or not `whole` to each."""
    if images == labels and not any(p.suffix.lower() in SUFFIXES for p in directly_in(images)):
        return None
    apart = images != labels
    some = [name for name, _ in islice(_names(images), LOOKED_AT)]
    there = {alike(name) for name, _ in _names(labels)}
    ends = [end for end in ENDS if end or apart]
    counts = {end: sum(alike(_label_of(name, end, there)) in there for name in some)
              for end in [*ends, *_own_ends(some, there, apart=apart)]}  # fmt: skip
    best = max(counts, key=lambda end: counts[end])
    if whole:
        return Pair(images, labels, best) if counts[best] == len(some) else None
    # in one folder, most images have a label map: every second file is one
    if counts[best] and (apart or 3 * counts[best] >= len(some)):
        return Pair(images, labels, best)
    meant = apart and there and any(near(labels / f'{name}.png') for name in some[:NEAR])
    return Pair(images, labels, '') if meant else None


def _label_of(name: str, end: str, there: Collection[str]) -> str:
    """Return what an image's label map is called: with the end of its own name, or without it."""
    whole = f'{name}{end}'
    return whole if alike(whole) in there else f'{IMAGE_END.sub("", name)}{end}'


def _own_ends(images: list[str], labels: Collection[str], *, apart: bool) -> set[str]:
    """Return what the label maps of another folder add to the names of all images but a few."""
    some = [alike(name) for name in images[:NEAR]] if apart else []
    added = Counter(label[len(name):] for name in some for label in labels
                    if label.startswith(name))  # fmt: skip
    ends = {end for end, count in added.items() if 1 < count == len(some)}
    return ends if len(ends) == 1 else set()  # several would be maps of several kinds


def _folders(root: Path) -> list[Path]:
    first = [p for p in root.iterdir() if p.is_dir()]
    second = [q for p in first for q in p.iterdir() if q.is_dir()]
    third = [r for q in second if q.name == 'leftImg8bit' for r in q.iterdir() if r.is_dir()]
    return first + second + third


def _names(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the images of a folder with their names relative to it, without suffix."""
    for path in walk(folder):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield path.relative_to(folder).with_suffix('').as_posix(), path


def read(root: Path, found: dict[str, Pair], faults: Faults) -> tuple[list[Split], tuple[str, ...]]:
    """Read the splits that `find` returned; images without label maps are a test split."""
    splits = []
    for name, (first, *others) in (_candidates(root) or _similar(root)).items():
        for other in others:
            example = f'{name}: {_named(root, first)} and {_named(root, other)}'
            faults.add('several-folders', root, example)
    for name, pair in found.items():
        pairs = pair_by_name(pair, faults)
        split = Split(name, pair.labels, pair.images, pairs=pairs)
        split.own_file = not _is_plain(pair, pairs)
        splits.append(split)
    if 'test' not in found:
        for images in _unlabelled(root, found):
            faults.add('test-unannotated', images, f'{len(list_images(images))} images')
    return splits, ()


def _named(root: Path, pair: Pair) -> str:
    images, labels = (folder.relative_to(root) for folder in (pair.images, pair.labels))
    return f'{images} with {labels}'


def _is_plain(pair: Pair, pairs: list[tuple[Path, Path]]) -> bool:
    """Return whether MMSegmentation can pair all files, with one suffix for each folder."""
    suffixes = {(image.suffix, label.suffix) for image, label in pairs}
    same = all(
        image.relative_to(pair.images).with_suffix('') == label.relative_to(pair.labels)
        .with_suffix('') for image, label in pairs
    )  # fmt: skip
    return same and len(suffixes) == 1 and len(list_images(pair.images)) == len(pairs)


def _unlabelled(root: Path, found: dict[str, Pair]) -> list[Path]:
    beside = {pair.images.parent for pair in found.values()} | {root}
    tries = [folder / word for folder in sorted(beside) for word in SPLITS['test']]
    return [folder for folder in tries if folder.is_dir() and list_images(folder)]


def pair_by_name(pair: Pair, faults: Faults, *, exact: bool = False) -> list[tuple[Path, Path]]:
    """Pair the files of two folders, whatever their suffixes; unpaired files are faults.

    Args:
        exact: names must be spelled identically; see `spelled_otherwise`.
    """
    by_name, label_of = (_by_name(folder, faults) for folder in (pair.images, pair.labels))
    if pair.similar:
        partners = similar_names.partners(by_name, label_of)
        meant = {name: partners.get(name, '') for name in by_name}
    else:
        known = {*map(alike, label_of)}
        meant = {name: _label_of(name, pair.end, known) for name in by_name}
    if pair.images == pair.labels:
        meant = {name: label for name, label in meant.items()
                 if not name.endswith(pair.end) or label in by_name}  # fmt: skip
    if not exact:
        lacking = [label for label in meant.values() if label not in label_of]
        found = spelled_otherwise(lacking, label_of.keys() - {*meant.values()})
        for name, label in meant.items():
            if label in found:
                meant[name] = found[label]
                example = f'{by_name[name].name} has {label_of[meant[name]].name}'
                faults.add('image-elsewhere', pair.labels, example, total=len(meant))
    missing = [name for name, label in sorted(meant.items()) if label not in label_of]
    for number, name in enumerate(missing):
        file = by_name[name].name
        hint = near(pair.labels / file) if number < EXAMPLES else ''  # it lists the folder
        faults.add('missing-label', pair.labels, f'{file}{hint}', total=len(meant))
    if pair.images != pair.labels:
        others = {name for name in label_of if pair.end and not name.endswith(pair.end)}
        for name in sorted(label_of.keys() - set(meant.values()) - others):
            faults.add('label-without-image', pair.labels, label_of[name].name)
    return [(by_name[name], label_of[label]) for name, label in meant.items() if label in label_of]


def _by_name(folder: Path, faults: Faults) -> dict[str, Path]:
    """Return a folder's files by name without suffix."""
    found: dict[str, Path] = {}
    for name, path in sorted(_names(folder)):
        other = found.setdefault(name, path)
        if other != path:
            faults.add('ambiguous-name', folder, f'{other.name} and {path.name}')
    return found
