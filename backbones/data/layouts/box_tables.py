"""Reading CSV files with a row for each box, as Roboflow, VoTT and others write them."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.image_finder import ImageFinder
from backbones.data.files.listing import SUFFIXES, shallow, start_of
from backbones.data.files.numbers import size_of
from backbones.data.layouts import shapes
from backbones.data.layouts.coco import split_of_file
from backbones.data.layouts.collected import Collected
from backbones.data.layouts.one_class import only_class

FILE = ('filename', 'file_name', 'image', 'image_name', 'image_path', 'path', 'file', 'img')
CLASS = ('class', 'label', 'class_name', 'label_name', 'category', 'name')
CORNERS = (('xmin', 'ymin', 'xmax', 'ymax'), ('x_min', 'y_min', 'x_max', 'y_max'),
           ('x1', 'y1', 'x2', 'y2'), ('left', 'top', 'right', 'bottom'))  # fmt: skip
WITHOUT_HEAD = ('image', '1', '2', '3', '4', 'label')  # keras-retinanet's: 1 to 4 are corners


@dataclass(frozen=True)
class Row:
    """A row: the image, its width and height if given, the class, and the corners as text.

    A row without corners stands for an image without objects.
    """

    image: str
    size: tuple[int, int] | None
    label: str
    corners: tuple[str, ...]

    def box(self) -> dict | None:
        """Return COCO's box and area; None if the corners are not numbers."""
        try:
            x1, y1, x2, y2 = map(float, self.corners)
        except ValueError:
            return None
        return shapes.box(x1, y1, x2 - x1, y2 - y1)


def find(root: Path) -> list[Path]:
    """Return the box tables in a folder or directly below it, those of single splits first."""
    files = [file for file in shallow(root, '.csv') if _is_table(file)]
    return sorted(files, key=lambda file: (split_of_file(root, file) is None, file))


def _is_table(file: Path) -> bool:
    first, _, rest = start_of(file).lstrip('\ufeff\r\n').partition('\n')
    places = _columns(first)
    return places is not None and bool(rest.strip() or not places['head'])


def _columns(first: str) -> dict[str, int] | None:
    """Find the needed columns by the first line; None if one is missing."""
    cells = next(csv.reader([first.lstrip('\ufeff')], skipinitialspace=True), [])
    head = [cell.strip().lower() for cell in cells]
    numbers = all(cell.strip().replace('.', '', 1).isdecimal() for cell in cells[1:5])
    is_image = bool(cells) and Path(cells[0]).suffix.lower() in SUFFIXES
    if len(cells) == len(WITHOUT_HEAD) and is_image and (numbers or not any(cells[1:])):
        return {name: i for i, name in enumerate(WITHOUT_HEAD)} | {'head': 0}
    image = next((head.index(name) for name in FILE if name in head), None)
    corners = next((names for names in CORNERS if {*names} <= {*head}), None)
    if image is None or corners is None:
        return None
    places = {'image': image, **{str(i): head.index(n) for i, n in enumerate(corners, 1)}}
    for what, names in {'label': CLASS, 'width': ('width',), 'height': ('height',)}.items():
        if name := next((name for name in names if name in head), None):
            places[what] = head.index(name)
    return places | {'head': 1}


def read(
    root: Path, files: list[Path], faults: Faults, *, classes: Sequence[str] = ()
) -> tuple[list[Split], tuple[str, ...]]:
    """Read all files; a file's name or folder tells its split.

    Args:
        classes: names given by the user; one is enough for tables without a class column.

    Returns:
        Splits, and the classes that occur, sorted.
    """
    tables = {file: _rows(file, faults) for file in files}
    rows = [row for some in tables.values() for row in some]
    only = '' if any(row.label for row in rows) else only_class(classes, root, faults)
    collected = Collected(root, tuple(sorted({row.label or only for row in rows} - {''})))
    finder = ImageFinder(root)
    seen: dict[Path, tuple[Path, list[Row]]] = {}
    for file, some in tables.items():
        of_image: dict[str, list[Row]] = {}
        for row in some:
            of_image.setdefault(row.image, []).append(row)
        _, records = collected.of(split_of_file(root, file) or 'train', file)
        for name, here in of_image.items():
            path = finder.find(name, [file.parent])
            if path is None:
                kind, said = finder.lost(name)
                faults.add(kind, file, said, total=len(of_image))
                continue
            first, before = seen.setdefault(path, (file, here))
            if first != file:  # a table of all images repeats the tables of the splits
                if sorted(map(str, before)) != sorted(map(str, here)):
                    faults.add('files-conflict', root, f'{first} and {file} both annotate {name}')
                continue
            number = records.add_image(path.relative_to(root).as_posix(), here[0].size)
            for row in here:
                _add(records, number, row, row.label or only, file, faults)
    return [split for split in collected.splits() if split.records['images']], collected.classes


def _add(
    records: shapes.Records, number: int, row: Row, label: str, file: Path, faults: Faults
) -> None:
    if not any(row.corners):
        return
    box = row.box()
    where = f'{row.image}: {",".join(row.corners)}'
    if not label:
        faults.add('unnamed-class', file, where)
    elif box is None:
        faults.add('broken-shape', file, where)
    else:
        records.add(number, label, box)


def _rows(file: Path, faults: Faults) -> list[Row]:
    try:
        lines = file.read_text(encoding='utf-8-sig').splitlines()
    except (UnicodeDecodeError, OSError) as error:
        faults.add('broken-file', file, error)
        return []
    blank = next(number for number, line in enumerate(lines) if line.strip())
    places = _columns(lines[blank]) or {}
    start, found = blank + places['head'], []
    for number, cells in enumerate(_cells(lines[start:]), start + 1):
        if len(cells) <= max(places.values()) or not cells[places['image']]:
            if any(cells):
                faults.add('wrong-structure', file, f'line {number}: {",".join(cells)[:60]}')
            continue
        said = {what: cells[place] for what, place in places.items() if what != 'head'}
        size = size_of(said.get('width', ''), said.get('height', ''))
        corners = tuple(said[i] for i in '1234')
        found.append(Row(said['image'], size, said.get('label', ''), corners))
    return found


def _cells(lines: list[str]) -> Iterator[list[str]]:
    for cells in csv.reader(lines, skipinitialspace=True):
        yield [cell.strip() for cell in cells]
