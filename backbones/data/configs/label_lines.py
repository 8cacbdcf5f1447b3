"""Config lines for label maps whose values or sizes differ from what the base expects."""

from backbones.data.configs.config_text import literal, statement
from backbones.data.files.label_mapping import LabelMapping

SCALES = (0.75, 1.0, 1.25)  # test-time augmentation, relative to the longer side of an input


def loading_lines(mapping: LabelMapping | None) -> list[str]:
    """Return the lines that define `__own`, which changes the steps of the base's pipelines.

    Args:
        mapping: the meaning of the values; None if they are the labels, from 0.
    """
    if mapping:
        meaning: dict[str, object]
        if mapping.threshold is None:
            meaning = dict(values=[*mapping.values], ignored=[*mapping.ignored])
            said = '# the values of labels 0, 1, ... in the files, and those that are ignored'
        else:
            meaning = dict(threshold=mapping.threshold)
            said = '# values from the threshold on are label 1, and smaller ones label 0'
        loading = dict(type='LoadMappedAnnotations', **meaning)
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


def tta_lines(given: str, longest: int | None, *, own: bool) -> list[str]:
    """Return the lines that adapt test-time augmentation to the data.

    Args:
        given: the expression for the base's pipeline.
        longest: the longer side of an input in pixels; None keeps the base's sizes.
        own: label maps are loaded by `__own`, which `loading_lines` defines.
    """
    kept = '__own(x) for x in __augment.transforms' if own else '__augment.transforms'
    if longest is None:
        steps = f'[{kept}]'
    else:
        sides = tuple(round(longest * scale) for scale in SCALES)
        resizes = f"[dict(type='Resize', scale=(x, x), keep_ratio=True) for x in {sides}]"
        steps = f'[\n    {resizes},\n    *{f"({kept}[1:])" if own else f"{kept}[1:]"}]'
    return [
        f'__load, __augment = {given}',
        f'tta_pipeline = [__load, dict(__augment, transforms={steps})]',
    ]
