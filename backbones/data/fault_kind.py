"""What a kind of fault is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Args:
        says: what is wrong with each of the things that are counted.
        remedy: what to do about it.
        level: 'error' for what silently loses or falsifies an image, an annotation or a metric, or
            ends a training; 'warning' for what is only likely to be a mistake.
    """

    says: str
    remedy: str
    level: str = 'error'


def warning(says: str, remedy: str) -> Kind:
    return Kind(says, remedy, level='warning')
