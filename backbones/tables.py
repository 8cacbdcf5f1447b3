"""The only code that writes tables, for terminals and for the pages in docs/."""

import re
from collections.abc import Iterable, Sequence

from prettytable import PrettyTable, TableStyle

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
    made = PrettyTable(head, align='l')
    made.set_style(TableStyle.MARKDOWN)
    made.add_rows(cells_of)
    made.align.update(aligned)
    return made.get_string()
