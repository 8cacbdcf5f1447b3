"""The writer of tables."""

from prettytable import PrettyTable, TableStyle

from backbones.tables import table


def test_columns_of_numbers_stand_to_the_right_and_nothing_is_a_dash() -> None:
    rows = [('mask', 41.5, None, '-3.0 %'), ('box', 9, 'by the authors', '+0.25 %')]
    assert table(('kind', 'AP', 'status', 'change'), rows).splitlines() == [
        '| kind |   AP | status         |  change |',
        '| :----|----: | :--------------|-------: |',
        '| mask | 41.5 | -              |  -3.0 % |',
        '| box  |    9 | by the authors | +0.25 % |',
    ]


def test_wide_letters_and_accents_are_aligned_as_a_terminal_shows_them() -> None:
    rows = [('树', 1), ('re\u0301seau', 12), ('car', 173)]
    expected = PrettyTable(['class', 'found'], align='l')
    expected.set_style(TableStyle.MARKDOWN)
    expected.align['found'] = 'r'
    expected.add_rows(rows)
    assert table(('class', 'found'), rows) == expected.get_string()


def test_a_table_without_rows_is_its_head() -> None:
    assert table(('a', 'b'), []).count('\n') == 1


def test_a_table_for_a_page_has_no_padding() -> None:
    assert table(('kind', 'AP'), [('mask', 41.5), ('box', None)], padded=False).splitlines() == [
        '| kind | AP |',
        '| :-- | --: |',
        '| mask | 41.5 |',
        '| box | - |',
    ]
    assert table(('AP',), [(9,)], padded=False) == '| AP |\n| --: |\n| 9 |'
