"""The pages of the documentation, and the code on them."""

import argparse
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from markdown_it import MarkdownIt
from shared import ROOT

PAGES = [
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'SECURITY.md')),
    *sorted((ROOT / 'docs').rglob('*.md')),
]
NOTEBOOKS = sorted((ROOT / 'docs/notebooks').glob('*.ipynb'))
MARK = re.compile(r'<!-- (needs|run by): (.+?) -->')
NEEDS = {'data', 'network', 'gpu', 'time'}


@dataclass(frozen=True)
class Block:
    """A block of code.

    Args:
        page: the page's path in the repository.
        line: where it begins.
        language: the fence's language; '' for output and file trees.
        needs, run_by: contents of the mark before it; '' without one.
    """

    page: str
    line: int
    language: str
    text: str
    needs: str = ''
    run_by: str = ''

    def __str__(self) -> str:
        return f'{self.page}:{self.line}'


def blocks(page: Path) -> Iterator[Block]:
    """Return a page's blocks, with the marks directly before them."""
    mark: dict[str, str] = {}
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == 'html_block':
            found = MARK.fullmatch(token.content.strip())
            mark = {found[1].replace(' ', '_'): found[2]} if found else {}
        elif token.type == 'fence':
            name = str(page.relative_to(ROOT))
            yield Block(name, token.map[0] + 1, token.info.strip(), token.content, **mark)
            mark = {}
        else:
            mark = {}


BLOCKS = [block for page in PAGES for block in blocks(page)]


def inline_code(page: Path) -> Iterator[str]:
    """Return everything in backticks in a page's text."""
    for token in MarkdownIt().enable('table').parse(page.read_text()):
        yield from (part.content for part in token.children or () if part.type == 'code_inline')


def cells(notebook: Path, kind: str) -> list[str]:
    """Return the texts of a notebook's cells of one kind."""
    found = json.loads(notebook.read_text())['cells']
    return [''.join(cell['source']) for cell in found if cell['cell_type'] == kind]


def commands(text: str) -> Iterator[list[str]]:
    """Return a shell block's commands as words, without comments and environment variables."""
    for line in text.replace('\\\n', ' ').splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
            words.pop(0)
        if words:
            yield words


class Parsed(Exception):
    """Raised where a program would begin its work."""


@dataclass
class Options:
    """What a program's parser got and knows."""

    known: set[str] = field(default_factory=set)


def parse(path: Path, words: list[str]) -> Options:
    """Let a program only parse its command line.

    Raises:
        AssertionError: the parser refuses it.
    """
    if 'ArgumentParser' not in path.read_text():  # it parses its arguments itself
        return Options()
    spec = importlib.util.spec_from_file_location(f'parsed_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    asked, real = Options(), argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, given: list[str] | None = None) -> None:
        asked.known |= {o for action in self._actions for o in action.option_strings}
        if words == ['--known']:
            raise Parsed
        try:
            real(self, words if given is None else given)
        except SystemExit as error:
            raise AssertionError(f'{path.name} refuses {shlex.join(words)}') from error
        raise Parsed

    with patch.object(argparse.ArgumentParser, 'parse_args', parse_args):
        try:
            module.main(words) if module.main.__code__.co_argcount else module.main()
        except Parsed:
            return asked
    raise AssertionError(f'{path.name} has parsed nothing')
