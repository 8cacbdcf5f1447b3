"""The lines of a config that load label maps of other values than the base expects."""

from backbones.data.config_text import literal, statement
from backbones.data.label_mapping import LabelMapping


def loading_lines(mapping: LabelMapping | None) -> list[str]:
    """Return the lines that define `__own`, which changes the steps of a pipeline of the base.

    Args:
        mapping: what the values mean; None if they are the labels, from 0.
    """
    if mapping:
        loading = dict(
            type='LoadMappedAnnotations', values=[*mapping.values], ignored=[*mapping.ignored]
        )
        said = '# the values of labels 0, 1, ... in the files, and those that are ignored'
        lines, new = [said, statement('__loading', literal(loading))], '__loading'
    else:
        lines = ['# labels start at 0; in the base, 0 means "ignore", as in ADE20K']
        new = 'dict(x, reduce_zero_label=False)'
    return [
        *lines,
        '__own = lambda steps: [',
        f"    {new} if x['type'] == 'LoadAnnotations' else x",
        '    for x in steps]',
    ]
