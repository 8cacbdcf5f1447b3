"""The only code that writes tables, for terminals and for the pages in docs/."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

NUMBER = re.compile(r'[-+]?[\d.]*(e-?\d+)?( ?%)?')


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, padded: bool = True) -> str:
    """Write a Markdown table.

    Args:
        head: the columns' titles, all different.
        rows: lists of as many cells; None is shown as '-'.
        padded: align the columns in plain text, too; otherwise a long cell lengthens only its own
            line.

    Returns:
        Lines, without a final newline; columns of numbers are right-aligned.
    """
    cells_of = [['-' if cell is None else str(cell) for cell in row] for row in rows]
    aligned = {
        title: 'r' if all(map(NUMBER.fullmatch, cells)) else 'l'
        for title, *cells in zip(head, *cells_of)
    }
    if not padded:
        rule = ['--:' if aligned[title] == 'r' else ':--' for title in head]
        return '\n'.join(f'| {" | ".join(cells)} |' for cells in (head, rule, *cells_of))
    columns = [_column([title, *cells], aligned[title]) for title, *cells in zip(head, *cells_of)]
    return '\n'.join(f'|{"|".join(cells)}|' for cells in zip(*columns))


def _column(cells: list[str], side: str) -> list[str]:
    """Fill the cells with spaces to one width, and put the rule below the first."""
    most = max(map(_width, cells))
    rule = '-' * most
    gaps = [' ' * (most - _width(cell)) for cell in cells]
    filled = [
        f' {gap}{cell} ' if side == 'r' else f' {cell}{gap} ' for cell, gap in zip(cells, gaps)
    ]
    return [filled[0], f'{rule}: ' if side == 'r' else f' :{rule}', *filled[1:]]


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes: letters of Chinese take two."""
    shown = [letter for letter in text if not unicodedata.combining(letter)]
    return len(shown) + sum(unicodedata.east_asian_width(letter) in 'WF' for letter in shown)
