"""Class names in text files beside the data, perhaps with values or colours of label maps."""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones.data.faults.faults import Faults
from backbones.data.files.label_mapping import LabelMapping, Value

# one name per line
PLAIN = ('classes.txt', 'class_names.txt', 'labels.txt', 'codes.txt', '*/classes.txt')
NOT_LEARNT = '__ignore__'  # labelme's name for what is neither learnt nor counted
# a line with the number of a class; names may end with a number, so that a sign comes before it
NUMBERED = (
    re.compile(r'(?P<number>\d+)[\s:=,;.)-]+(?P<name>[^\W\d].*)'),
    re.compile(r'(?P<name>[^\W\d].*?)\s*[:=,;\t]\s*(?P<number>\d+)'),
)
VOID = ('void', 'ignore', 'ignored', 'unlabelled', 'unlabeled', NOT_LEARNT)


@dataclass(frozen=True)
class LabelNames:
    """What a file says.

    Args:
        file: the file.
        names: class names in order.
        values: the value or colour of each; None if they are numbered from 0.
    """

    file: Path
    names: tuple[str, ...]
    values: tuple[Value, ...] | None = None

    @property
    def mapping(self) -> LabelMapping | None:
        return LabelMapping(self.values) if self.values else None

    def contradicts(self, other: 'LabelNames') -> str:
        """Describe how another file differs: in a name's value, or in the order; '' if it agrees.

        A list without values is compared by the order of the names, but not with colours.
        """
        if self.values and other.values:
            there = dict(zip(other.names, other.values))
            for name, value in zip(self.names, self.values):
                if there.get(name, value) != value:
                    return f'{name!r} is {value} in {self.file}, and {there[name]} in {other.file}'
            return ''
        here, others = self.in_order(other.names), other.in_order(self.names)
        for one, another in zip(here, others):
            if one != another:
                return f'{self.file} has {one!r} before {another!r}, unlike {other.file}'
        return ''

    def in_order(self, known: Sequence[str]) -> list[str]:
        """Return the names in the order of their numbers; none if they have colours."""
        numbers: dict[str, int] = {}
        for number, name in enumerate(self.names):
            value = self.values[number] if self.values else number
            if isinstance(value, tuple):
                if len({*value}) > 1:
                    return []
                value = value[0]
            numbers[name] = value
        return sorted({*numbers} & {*known}, key=numbers.__getitem__)


def read_names(root: Path, faults: Faults, *, plain: tuple[str, ...] = PLAIN) -> list[LabelNames]:
    """Read the files of names in a folder, those with colours first.

    Args:
        plain: file names of lists without values.
    """
    found = []
    for pattern, parse in FILES.items():
        for file in sorted(filter(Path.is_file, root.glob(pattern))):
            if rows := parse(_text(file, faults)):
                found.append(LabelNames(file, *map(tuple, zip(*rows))))
    files = filter(Path.is_file, (file for name in plain for file in sorted(root.glob(name))))
    return found + [_listed(file, _lines(file, faults)) for file in files]


def _listed(file: Path, lines: tuple[str, ...]) -> LabelNames:
    by_number = numbered(lines)
    if by_number is None:
        return LabelNames(file, lines)
    if sorted(by_number) == [*range(len(lines))]:
        return LabelNames(file, tuple(by_number[i] for i in range(len(lines))))
    return LabelNames(file, tuple(by_number.values()), tuple(by_number))


def numbered(lines: Sequence[str]) -> dict[int, str] | None:
    """Order names by the numbers beside them, as in `0: tree`; None unless each has its own."""
    for form in NUMBERED:
        found = [match for line in lines if (match := form.fullmatch(line.strip()))]
        named = {int(match['number']): match['name'] for match in found}
        if 1 < len(lines) == len(named) == len(set(named.values())):
            return named
    return None


def _text(file: Path, faults: Faults) -> str:
    try:
        return file.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        faults.add('broken-file', file, f'{error}; save it as UTF-8')
        return ''


def _lines(file: Path, faults: Faults) -> tuple[str, ...]:
    names = [line.strip() for line in _text(file, faults).splitlines()]
    while names and not names[-1]:
        names.pop()
    for number, name in enumerate(names, 1):
        if not name:
            faults.add('unnamed-class', file, f'line {number} is blank')
    return tuple(name for name in names if name and name != NOT_LEARNT)


def _labelmap(text: str) -> list[tuple[str, Value]]:
    """Parse CVAT's labelmap.txt: name:red,green,blue:parts:actions."""
    found = re.findall(r'^([^#\n][^\n]*?):\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(?::|$)', text, re.M)
    return [(name.strip(), _colour(colour)) for name, *colour in found]


def _camvid(text: str) -> list[tuple[str, Value]]:
    """Parse CamVid's label_colors.txt: red green blue name."""
    found = re.findall(r'^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S[^\n]*?)\s*$', text, re.M)
    return [(name, _colour(colour)) for *colour, name in found]


def _table(text: str) -> list[tuple[str, Value]]:
    """Parse class_dict.csv with name,r,g,b, or Roboflow's _classes.csv with Pixel Value, Class.

    Columns may be divided by semicolons, and a colour may be one cell, "255,0,0".
    """
    lines = text.splitlines()
    delimiter = ';' if lines and ';' in lines[0] else ','
    rows = list(csv.reader(lines, skipinitialspace=True, delimiter=delimiter))
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    name = next((head.index(word) for word in NAME_COLUMNS if word in head), None)
    colour = next((head.index(word) for word in COLOUR_COLUMNS if word in head), None)
    if colour is not None:  # the colour takes three cells
        rows = [[*row, *row[colour].split(',')] for row in rows if len(row) == len(head)]
        head += [*SIDES[0]]
        rows[:1] = [head]
    sides = next((words for words in SIDES if {*words} <= {*head}), None)
    if name is None or sides is None:
        return []
    places = [head.index(word) for word in sides]
    rows = [row for row in rows[1:] if len(row) > max(name, *places)
            and all(row[place].strip().isdecimal() for place in places)]  # fmt: skip
    return [(row[name].strip(), _colour([row[place] for place in places])) for row in rows]


NAME_COLUMNS = ('name', 'class', 'label', 'classname', 'class name', 'class_name')
COLOUR_COLUMNS = ('color', 'colour', 'rgb', 'classcolor', 'class color', 'class_color')
SIDES = (('r', 'g', 'b'), ('red', 'green', 'blue'), ('pixel value',))


def _colour(words: list[str]) -> Value:
    numbers = [min(int(word), 255) for word in words]
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1], numbers[2])


FILES: dict[str, Callable[[str], list[tuple[str, Value]]]] = {
    'labelmap.txt': _labelmap,
    'label_colors.txt': _camvid,
    'label_color.txt': _camvid,  # CVAT writes it for Cityscapes, according to its manual
    '*class*.csv': _table,
    '*/_classes.csv': _table,
}
