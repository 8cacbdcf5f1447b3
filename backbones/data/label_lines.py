"""The lines of a config that load label maps of other values than the base expects."""

from backbones.data.config_text import Call, literal, named
from backbones.data.label_mapping import LabelMapping


def loading_lines(mapping: LabelMapping | None) -> list[str]:
    """Return the lines that define `__own`, which changes the steps of a pipeline of the base.

    Args:
        mapping: what the values mean; None if they are the labels, from 0.
    """
    if mapping:
        values = dict(values=[*mapping.values], ignored=[*mapping.ignored])
        loading = Call('__loading = dict(', ["type='LoadMappedAnnotations'",
                       *(named(key, literal(value)) for key, value in values.items())])  # fmt: skip
        said = '# the values of labels 0, 1, ... in the files, and those that are ignored'
        lines, new = [said, loading.text()], '__loading'
    else:
        lines = ['# labels start at 0; in the base, 0 means "ignore", as in ADE20K']
        new = 'dict(x, reduce_zero_label=False)'
    return [
        *lines,
        '__own = lambda steps: [',
        f"    {new} if x['type'] == 'LoadAnnotations' else x",
        '    for x in steps]',
    ]
