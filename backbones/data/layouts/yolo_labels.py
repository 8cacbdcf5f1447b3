"""YOLO's label files: finding them for the images, and detecting keypoints in their lines."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.image_finder import alike
from backbones.data.files.images import ImageFacts
from backbones.data.files.listing import SUFFIXES, directly_in, grouped, visible

CORNERS = 4  # corners of a rotated box, in order around it
RIGHT = 0.7  # share of objects with right angles from which they are rotated boxes
BOX = 4  # values of a box: centre, width and height
SEEN = (0, 1, 2)  # visibility of a keypoint: not labelled, hidden, visible


@dataclass(frozen=True)
class Labels:
    """An image's label file: its non-blank lines with their numbers."""

    file: Path
    lines: tuple[tuple[int, str], ...]


def read_labels(split: Split, root: Path, faults: Faults) -> dict[Path, Labels]:
    """Read the label file of each image of a split.

    It is in `labels` if the image is in `images` (the last folder of that name in the dataset),
    or beside the image. A split with both kinds is a fault, since YOLO reads only one. A file that
    no image has may be spelled otherwise; see `alike`.

    Args:
        split: its `source` will be set.
    """
    found: dict[Path, Labels] = {}
    owner: dict[Path, Path] = {}
    apart: list[Path] = []
    beside: list[Path] = []
    names = functools.cache(names_in)
    for image in split.facts:
        far, near = label_places(image, root)
        files = [file for file in dict.fromkeys((far, near)) if file.is_file()]
        if not files and (other := other_spelling(image, (far, near), names)):
            files = [other]
            faults.add('image-elsewhere', other.parent, f'{image.name} has {other.name}')
        if len(files) == 2:
            faults.add('labels-in-two-places', root, f'{image.name} has {_names(files, root)}')
        if files:
            (apart if files[0].parent == far.parent else beside).append(files[0])
            found[image] = Labels(files[0], tuple(_lines(files[0])))
        file = files[0] if files else far
        if owner.setdefault(file, image) != image:
            example = f'{image.name} and {owner[file].name} have {file.name}'
            faults.add('ambiguous-name', split.source, example)
    if apart and set(beside) - set(apart):
        some = next(file for file in beside if file not in apart)
        faults.add('labels-in-two-places', root, _names([apart[0], some], root))
    if owner:
        split.source = next(iter(owner)).parent
    return found


def other_spelling(
    image: Path, places: Iterable[Path], names: Callable[[Path], dict[str, list[Path]]]
) -> Path | None:
    """Return the label file whose name `alike` finds equal to an image's, if no image uses it.

    Args:
        names: see `names_in`.
    """
    name = alike(image.stem)
    there = names(image.parent).get(name, [])
    taken = {path.stem for path in there if path.suffix.lower() != '.txt'} - {image.stem}
    folders = dict.fromkeys(place.parent for place in places)
    found = [path for folder in folders for path in names(folder).get(name, [])
             if path.suffix.lower() == '.txt' and path.stem not in taken]  # fmt: skip
    return found[0] if len(found) == 1 else None


def names_in(folder: Path) -> dict[str, list[Path]]:
    """Return a folder's files by their names without suffix, as `alike` writes them."""
    return grouped(directly_in(folder), lambda path: alike(path.stem))


def check_unused(
    splits: Sequence[tuple[Split, dict[Path, Labels]]], root: Path, faults: Faults
) -> None:
    """Find label files beside those of the splits that belong to no image of a split.

    Args:
        splits: with what `read_labels` returned.
    """
    meant = {place for split, _ in splits for image in split.facts
             for place in label_places(image, root)}  # fmt: skip
    meant |= {label.file for _, labels in splits for label in labels.values()}
    listed = {image for split, _ in splits for image in split.facts}
    unlisted = {path.stem: path for folder in {image.parent for image in listed}
                for path in directly_in(folder)
                if path.suffix.lower() in SUFFIXES and path not in listed}  # fmt: skip
    for folder in sorted({file.parent for file in meant}):
        for file in sorted(set(visible(folder.glob('*.txt'))) - meant):
            if image := unlisted.get(file.stem):
                faults.add('unused-image', image.parent, image.name)
            elif _is_label(file):
                faults.add('label-without-image', folder, file.name)


def label_places(image: Path, root: Path) -> tuple[Path, Path]:
    """Return where an image's label file may be: images/a.jpg -> labels/a.txt, or beside it.

    A folder `images` that contains the dataset itself does not count.
    """
    inside = image.is_relative_to(root)
    parts = list(image.relative_to(root).parts if inside else image.parts)
    for i in reversed(range(len(parts) - 1)):
        if parts[i] == 'images':
            parts[i] = 'labels'
            break
    far = Path(root if inside else '', *parts)
    return far.with_suffix('.txt'), image.with_suffix('.txt')


def _names(files: Iterable[Path], root: Path) -> str:
    shown = (file.relative_to(root) if file.is_relative_to(root) else file for file in files)
    return ' and '.join(map(str, shown))


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    lines = file.read_text(encoding='utf-8-sig', errors='replace').splitlines()
    return ((row, line.strip()) for row, line in enumerate(lines, 1) if line.strip())


def _is_label(file: Path) -> bool:
    """Return whether a text file has labels or is empty, as for no objects; a README is neither."""
    if not file.is_file():
        return False
    with file.open(encoding='utf-8-sig', errors='replace') as opened:
        words = opened.read(4096).split()
    return not words or (len(words) > BOX and all(map(_is_number, words[: BOX + 1])))


def has_object(file: Path) -> bool:
    """Return whether the first line with text is YOLO's: a class and at least a box."""
    try:
        with file.open(encoding='utf-8-sig', errors='replace') as opened:
            words = opened.read(4096).strip().partition('\n')[0].split()
    except OSError:
        return False
    return len(words) > BOX and words[0].isdecimal() and all(map(_is_number, words[: BOX + 1]))


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def keypoints_of(labels: list[Labels], file: Path, faults: Faults) -> int:
    """Find keypoints that no `kpt_shape` declares, which would be mistaken for polygons.

    Lines with keypoints all have the same number of values; the first four are a box, and the
    others are points in it. Polygons that look the same cannot be told apart.

    Returns:
        The number of their values, 0 if there are none; keypoints add a fault.
    """
    rows = [line.split()[1:] for each in labels for _, line in each.lines]
    lengths = {len(row) for row in rows} - {BOX}
    if len(lengths) != 1 or not all(_is_number(word) for row in rows for word in row):
        return 0
    number = lengths.pop() - BOX
    values = [[float(word) for word in row] for row in rows if len(row) > BOX]
    for each in (3, 2):
        if number >= each and number % each == 0 and all(_is_pose(row, each) for row in values):
            example = f'every line has a box and {number // each} points of {each} values'
            faults.add('keypoints-or-polygons', file, example, total=len(rows))
            return number
    return 0


def _is_pose(row: list[float], each: int) -> bool:
    x, y, w, h = row[:BOX]
    points = [row[i : i + each] for i in range(BOX, len(row), each)]
    if each == 3 and not all(point[2] in SEEN for point in points):
        return False
    return all(
        (abs(px - x) <= 0.5 * w + 0.01 and abs(py - y) <= 0.5 * h + 0.01) or px == py == 0
        for px, py, *_ in points
    )


def are_rotated(labels: dict[Path, Labels], facts: dict[Path, ImageFacts]) -> bool:
    """Return whether the lines are rotated boxes: four corners, most at right angles, some tilted.

    Those of DOTA are drawn by hand.
    """
    tilted, total, right = False, 0, 0
    for image, each in labels.items():
        width, height = facts[image].size
        for _, line in each.lines:
            words = line.split()[1:]
            if len(words) != 2 * CORNERS or not all(map(_is_number, words)):
                return False
            xs = [float(word) * width for word in words[::2]]
            ys = [float(word) * height for word in words[1::2]]
            sides = [(xs[i] - xs[i - 1], ys[i] - ys[i - 1]) for i in range(CORNERS)]
            total += 1
            right += all(map(_is_right, sides, sides[1:] + sides[:1]))
            tilted |= any(min(abs(x), abs(y)) > 1 for x, y in sides)
    return tilted and right >= RIGHT * total


def _is_right(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two sides are at a right angle; 1 is for corners rounded to pixels."""
    (ax, ay), (bx, by) = one, other
    return abs(ax * bx + ay * by) <= 0.1 * math.hypot(ax, ay) * math.hypot(bx, by) + 1
