"""Data loaders and evaluators of a written config: the base's, with another dataset."""

import os

from mmengine.config import Config

from backbones.data.configs.config_text import Call, literal
from backbones.errors import UserError
from backbones.openmmlab.config_tree import has_mask_head
from backbones.openmmlab.registries import BY_NAME, COCO_METRICS


def loader(cfg: Config, name: str, settings: dict, *, batch: int | None, wrap: str = '{}') -> str:
    """Return the statement that defines a data loader.

    Wrappers of the base's dataset with their own pipeline, which mix images, are
    kept; others are dropped.

    Args:
        cfg: the base.
        name: 'train', 'val' or 'test'.
        settings: the dataset's settings besides those in the variable `__data`.
        batch: images per iteration; None keeps the base's.
        wrap: a format string that turns the expression for a pipeline into the new one.

    Raises:
        UserError: the base joins datasets.
    """
    places = nested(cfg, name)
    mixing = max((i for i, (_, node) in enumerate(places[:-1]) if 'pipeline' in node), default=-1)
    parts = literal(settings)
    assert isinstance(parts, Call)
    pipeline = f'pipeline={wrap.format(f"{places[-1][0]}.pipeline")}'
    heads, tails = [], ''
    for place, node in places[: mixing + 1]:
        changed = 'pipeline' in node and wrap != '{}'
        own = f'pipeline={wrap.format(f"{place}.pipeline")}, ' if changed else ''
        heads.append(f'dataset=dict({own}')
        tails += ')'
    size = f'batch_size={batch}, ' if batch else ''
    head = f'{name}_dataloader = dict({size}{"".join(heads)}dataset=dict('
    return Call(head, ['**__data', *parts.parts, pipeline], f')){tails}').text()


def nested(cfg: Config, name: str) -> list[tuple[str, dict]]:
    """Return the base's dataset and those that it wraps, each with its expression.

    Raises:
        UserError: the base joins datasets.
    """
    place, node = f'_base_.{name}_dataloader.dataset', cfg[f'{name}_dataloader'].dataset
    found = [(place, node)]
    while isinstance(node.get('dataset'), dict):
        place, node = f'{place}.dataset', node.dataset
        found.append((place, node))
    if 'pipeline' not in node or 'datasets' in node:
        # a wrapper may hold the pipeline of the dataset inside it
        raise UserError(f'the base wraps its {name} dataset in {node.get("type")}, which cannot '
                        'be rewritten: use another base')  # fmt: skip
    return found


def evaluator(cfg: Config, name: str, file: str) -> str:
    """Return the base's metric for another file, or ours if the base's is not COCO's."""
    path = f'data_root + {file!r}' if not os.path.isabs(file) else repr(file)
    kinds = ['bbox', 'segm'] if has_mask_head(cfg.model) else ['bbox']
    base = cfg.get(f'{name}_evaluator')
    parts: list[Call | str] = [f'ann_file={path}']
    if not (isinstance(base, dict) and base.get('type') in COCO_METRICS):
        parts = ['_delete_=True', "type='FasterCocoByNameMetric'", *parts, f'metric={kinds}']
        return Call(f'{name}_evaluator = dict(', parts).text()
    if base['type'] in BY_NAME:
        parts.insert(0, f'type={BY_NAME[base["type"]]!r}')
    if base.get('metric') not in (kinds, kinds[0] if len(kinds) == 1 else None):
        parts.append(f'metric={kinds}')
    return Call(f'{name}_evaluator = dict(', parts).text()
