"""Parts of a model's config; models inside others."""

from collections.abc import Iterator

from mmengine.config import ConfigDict

from backbones.errors import UserError

# keys that lead to a model inside another: test-time augmentation, semi-supervised, tracking
WRAPPED = ('module', 'detector', 'segmentor')


def with_backbone(model: ConfigDict | None) -> ConfigDict:
    """The detector or segmentor in a model's config: itself, or what it wraps.

    Raises:
        UserError: there is none that has one backbone.
    """
    part = model
    while isinstance(part, dict) and 'backbone' not in part:
        part = next((part[key] for key in WRAPPED if part.get(key)), None)
    if not isinstance(part, dict) or not isinstance(part['backbone'], dict):
        raise UserError(
            'the config has no model.backbone of its own, nor has '
            + ' or '.join(f'model.{key}' for key in WRAPPED)
        )
    return part


def nodes(part: ConfigDict) -> Iterator[ConfigDict]:
    """The dict and all dicts inside it."""
    yield part
    for value in part.values():
        for entry in value if isinstance(value, list | tuple) else [value]:
            if isinstance(entry, dict):
                yield from nodes(entry)


def has_mask_head(model: dict) -> bool:
    """Whether a detector predicts masks."""
    roi_head = model.get('roi_head') or {}
    return any((roi_head.get('mask_head'), model.get('mask_head'), model.get('panoptic_head')))


def replace_sync_bn(model: ConfigDict) -> bool:
    """Turn SyncBN, of PyTorch or mmcv, into BN in a model's config; tell whether there was any."""
    found = [node for node in nodes(model) if node.get('type') in ('SyncBN', 'MMSyncBN')]
    for node in found:
        node['type'] = 'BN'
    return bool(found)
