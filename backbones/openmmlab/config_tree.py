"""Walking a config: nested models, nested datasets, numbers of classes."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config, ConfigDict

from backbones.errors import UserError
from backbones.openmmlab.own_datasets import settings_of
from backbones.openmmlab.registries import find_class

# keys that lead to a nested model: test-time augmentation, semi-supervised learning, tracking
WRAPPED = ('module', 'detector', 'segmentor')


def with_backbone(model: ConfigDict | None) -> ConfigDict:
    """Return the detector or segmentor in a model's config: the model itself, or a nested one.

    Raises:
        UserError: no part of the model has a single backbone.
    """
    part = model
    while isinstance(part, dict) and 'backbone' not in part:
        part = next((part[key] for key in WRAPPED if part.get(key)), None)
    if not isinstance(part, dict) or not isinstance(part['backbone'], dict):
        raise UserError(
            'the config has no model.backbone that is a single dict, nor has '
            + ' or '.join(f'model.{key}' for key in WRAPPED)
        )
    return part


def channels_in(model: dict) -> int:
    """Return the number of channels of the images that a model's backbone reads."""
    return (model.get('backbone') or {}).get('in_channels', 3)


def nodes(part: ConfigDict) -> Iterator[ConfigDict]:
    """Yield the dict and all dicts inside it."""
    yield part
    for value in part.values():
        for entry in value if isinstance(value, list | tuple) else [value]:
            if isinstance(entry, dict):
                yield from nodes(entry)


def type_name(part: dict) -> str:
    """Return the name of a part's `type`, which may be `mmdet.NAME` or the class itself."""
    given = part.get('type') or ''
    return str(getattr(given, '__name__', given)).rpartition('.')[2]


def has_mask_head(model: dict) -> bool:
    """Return whether a detector predicts masks."""
    roi_head = model.get('roi_head') or {}
    return any((roi_head.get('mask_head'), model.get('mask_head'), model.get('panoptic_head')))


def replace_sync_bn(model: ConfigDict) -> bool:
    """Replace SyncBN, PyTorch's or mmcv's, by BN in a model's config; return whether any was."""
    found = [node for node in nodes(model) if node.get('type') in ('SyncBN', 'MMSyncBN')]
    for node in found:
        node['type'] = 'BN'
    return bool(found)


def innermost(dataset: dict) -> list[dict]:
    """Return the datasets inside wrappers such as RepeatDataset and ConcatDataset, in order."""
    inner = dataset.get('dataset', dataset.get('datasets'))
    if inner is None:
        return [dataset]
    parts = inner if isinstance(inner, list | tuple) else [inner]
    return [found for part in parts for found in innermost(part)]


def steps(node: object, kind: str) -> list[dict]:
    """Return the transforms of a type anywhere in a config, including our loaders of label maps."""
    if isinstance(node, list | tuple):
        return [found for child in node for found in steps(child, kind)]
    if not isinstance(node, dict):
        return []
    name = type_name(node)
    is_it = name == kind or (name, kind) == ('LoadMappedAnnotations', 'LoadAnnotations')
    return [node] * is_it + [found for child in node.values() for found in steps(child, kind)]


def classes_of(cfg: Config, dataset: dict) -> tuple[str, ...] | None:
    """Return the class names that a dataset config uses; None if its class does not define any."""
    named = settings_of(cfg, dataset).get('metainfo') or {}
    cls = find_class(dataset['type'], cfg.get('default_scope'))
    return named.get('classes') or getattr(cls, 'METAINFO', {}).get('classes')


def things_of(cfg: Config, dataset: dict) -> tuple[str, ...]:
    """Return the thing classes of a panoptic dataset; () for any other dataset."""
    cls = find_class(dataset['type'], cfg.get('default_scope'))
    named = dict(getattr(cls, 'METAINFO', {})) | dict(dataset.get('metainfo') or {})
    return tuple(c for c in named.get('thing_classes') or () if c in named.get('classes', ()))


def num_classes(node: object, place: str) -> list[tuple[str, int]]:
    """Find every number of classes in a model config, with its key; the RPN's is always 1."""
    if isinstance(node, list | tuple):
        return [f for i, n in enumerate(node) for f in num_classes(n, f'{place}.{i}')]
    if not isinstance(node, dict) or place.endswith('rpn_head'):
        return []
    here = [(f'{place}.num_classes', node['num_classes'])] if 'num_classes' in node else []
    if 'num_things_classes' in node:  # Mask2Former
        number = node['num_things_classes'] + node.get('num_stuff_classes', 0)
        here.append((f'{place}.num_things_classes', number))
    return here + [f for k, n in node.items() for f in num_classes(n, f'{place}.{k}')]


def for_classes(node: Any, number: int, place: str = 'model') -> Any:
    """Return a model config for another number of classes, without the base's class weights."""
    if isinstance(node, list | tuple):
        return type(node)(for_classes(n, number, f'{place}.{i}') for i, n in enumerate(node))
    if not isinstance(node, dict):
        return node
    made = {k: for_classes(v, number, f'{place}.{k}') for k, v in node.items()}
    for key in {'num_classes', 'num_things_classes'} & {*made}:
        if dict(num_classes(node, place)).get(f'{place}.{key}'):
            made[key] = number
    if isinstance(made.get('class_weight'), list | tuple):
        made['class_weight'] = None
    if 'num_queries' in made and isinstance(node.get('loss_cls'), dict):  # last is "no object"
        weights = node['loss_cls'].get('class_weight')
        if isinstance(weights, list | tuple):
            made['loss_cls']['class_weight'] = [1.0] * number + [weights[-1]]
    return made


def averages(cfg: Config) -> bool:
    """Return whether a config averages the weights during training (EMA)."""
    return any('EMAHook' in str(hook.get('type')) for hook in cfg.get('custom_hooks') or ())


def only_formats(cfg: Config, evaluator: str) -> bool:
    """Return whether predictions are only written, as for a server with hidden labels."""
    metrics = cfg.get(evaluator) or []
    metrics = metrics if isinstance(metrics, list | tuple) else [metrics]
    return bool(metrics) and all(metric.get('format_only') for metric in metrics)
