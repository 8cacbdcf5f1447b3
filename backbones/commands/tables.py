"""The one writer of tables: for terminals, and for the pages in docs/."""

import re
from collections.abc import Iterable, Sequence

from prettytable import PrettyTable, TableStyle

NUMBER = re.compile(r'[-+]?[\d.]*(e-?\d+)?( ?%)?')


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table whose columns are aligned in plain text, too.

    Args:
        head: the columns' titles; no two are the same.
        rows: as many cells each; None is shown as '-'.

    Returns:
        Lines, without a newline at the end; columns of numbers stand to the right.
    """
    cells_of = [['-' if cell is None else str(cell) for cell in row] for row in rows]
    made = PrettyTable(head, align='l')
    made.set_style(TableStyle.MARKDOWN)
    made.add_rows(cells_of)
    for title, *cells in zip(head, *cells_of):
        made.align[title] = 'r' if all(map(NUMBER.fullmatch, cells)) else 'l'
    return made.get_string()
