#!/usr/bin/env python
"""Write the tables of docs/troubleshooting.md from the catalogues of messages in the code."""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from backbones.data.faults.kind import Kind
from backbones.data.faults.of_files import FILES, IMAGES, LABEL_MAPS
from backbones.data.faults.of_labels import CLASSES, CONFIGS, INSTANCES
from backbones.data.layouts.foreign import JSON_SIGNS
from backbones.openmmlab.remedies import REMEDIES
from backbones.tables import table

PAGE = Path(__file__).parents[1] / 'troubleshooting.md'
# this program writes what is between these marks
MARK, END = '<!-- written by docs/generate/messages.py -->\n', '<!-- end -->'
PART = re.compile(f'{MARK}.*?{END}', re.DOTALL)
KINDS = {
    'Image files': IMAGES,
    'Annotation files': FILES,
    'Label maps': LABEL_MAPS,
    'Boxes and masks': INSTANCES,
    'Classes and splits': CLASSES,
    'Configs': CONFIGS,
}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='fail if the page is not up to date')
    args = parser.parse_args(words)
    text = page(PAGE.read_text())
    if not args.check:
        PAGE.write_text(text)
    elif text != PAGE.read_text():
        sys.exit('docs/troubleshooting.md is not up to date: run docs/generate/messages.py')


def page(text: str) -> str:
    """Return the page with its tables rewritten, in their order."""
    parts = iter((libraries(), faults(), foreign()))
    return PART.sub(lambda _: f'{MARK}\n{next(parts)}\n\n{END}', text)


def faults() -> str:
    """Return all kinds of faults of a dataset, by topic."""
    return '\n\n'.join(f'### {title}\n\n{_kinds(kinds)}' for title, kinds in KINDS.items())


def _kinds(kinds: dict[str, Kind]) -> str:
    rows = (
        (f'`{name}`', kind.level, _escaped(kind.says), _escaped(kind.remedy))
        for name, kind in kinds.items()
    )
    return _table(('kind', 'level', 'what it says', 'remedy'), rows)


def libraries() -> str:
    """Return the libraries' errors to which the tools add a remedy."""
    rows = ((f'`{words}`', _escaped(said.removeprefix('; '))) for words, said in REMEDIES.items())
    return _table(('the message contains', 'remedy'), rows)


def foreign() -> str:
    """Return the remedies for files of other programs."""
    found = dict.fromkeys(JSON_SIGNS.values())
    return _table(('JSON files that', 'remedy'), (_escaped(said).split(': ', 1) for said in found))


def _table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    return table(head, [list(_cells(row)) for row in rows], padded=False)


def _escaped(text: str) -> str:
    """Return a message as Markdown that shows its stars and double underscores."""
    return re.sub(r'\*|_(?=_)|(?<=_)_', r'\\\g<0>', text)


def _cells(row: Iterable[str]) -> Iterator[str]:
    for cell in row:
        yield cell.replace('|', '\\|').replace('<', '&lt;')


if __name__ == '__main__':
    main()
