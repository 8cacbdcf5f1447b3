"""The names of the classes that a whole model was trained on, compared with those of a config."""

from collections.abc import Sequence

from backbones.errors import CheckpointError, listed


def classes_in(file: dict) -> tuple[str, ...] | None:
    """The class names in a checkpoint: MMEngine's, or those of MMCV 1; None if it has none."""
    meta = file.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    named = meta.get('dataset_meta')
    names = (named if isinstance(named, dict) else meta).get('classes', meta.get('CLASSES'))
    return tuple(map(str, names)) if isinstance(names, list | tuple) and names else None


def same_classes(
    trained: Sequence[str] | None, own: Sequence[str] | None, source: str, *, fresh: bool = False
) -> bool:
    """Compare the names of a checkpoint with a config's; where nobody names any, they are the same.

    Args:
        fresh: other names are no error, since layers of classes can be initialised anew.

    Raises:
        CheckpointError: they differ; or, if `fresh`, the same names stand in another order.
    """
    if not trained or not own or tuple(trained) == tuple(own):
        return True
    if sorted(trained) == sorted(own):
        raise CheckpointError(
            f'{source} was trained on the same classes in another order than this config names '
            f'them, so that names would stand for other classes{_first(trained, own)}. Set '
            f'metainfo.classes to the order of the checkpoint: {listed(map(repr, trained))}'
        )
    if fresh:
        return False
    raise CheckpointError(
        f'{source} was trained on {len(trained)} classes and this config names '
        f'{len(own)}{_first(trained, own)}: use the config that it was trained with'
    )


def _first(trained: Sequence[str], own: Sequence[str]) -> str:
    pairs = enumerate(zip(trained, own))
    return next((f'; number {i} is {a!r} there, {b!r} here' for i, (a, b) in pairs if a != b), '')
