"""Comparing the class names that a whole model was trained on with those of a config."""

from collections.abc import Sequence

from backbones.errors import CheckpointError, listed


def classes_in(file: dict) -> tuple[str, ...] | None:
    """Return the class names in a checkpoint of MMEngine or MMCV 1; None if it has none."""
    meta = file.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    named = meta.get('dataset_meta')
    names = (named if isinstance(named, dict) else meta).get('classes', meta.get('CLASSES'))
    return tuple(map(str, names)) if isinstance(names, list | tuple) and names else None


def same_classes(
    trained: Sequence[str] | None, own: Sequence[str] | None, source: str, *, fresh: bool = False
) -> bool:
    """Return whether a checkpoint's class names equal a config's; true if either has none.

    Args:
        fresh: allow other names, since the layers that depend on them can be re-initialised.

    Raises:
        CheckpointError: the names differ; or, if `fresh`, they are the same in another order.
    """
    if not trained or not own or tuple(trained) == tuple(own):
        return True
    if sorted(trained) == sorted(own):
        raise CheckpointError(
            f'{source} was trained on the same classes as in this config, but in another order, so '
            f'that classes would get wrong names{_first(trained, own)}. Set metainfo.classes to '
            f'the order of the checkpoint: {listed(map(repr, trained))}. Label maps have no names: '
            'their numbers must be in the same order, as values=[...] of '
            'LoadMappedAnnotations'
        )
    if fresh:
        return False
    raise CheckpointError(
        f'{source} was trained on {len(trained)} classes, but this config names '
        f'{len(own)}{_first(trained, own)}: use the config that it was trained with'
    )


def _first(trained: Sequence[str], own: Sequence[str]) -> str:
    pairs = enumerate(zip(trained, own))
    return next(
        (f'; class {i} is {a!r} there, but {b!r} here' for i, (a, b) in pairs if a != b), ''
    )
