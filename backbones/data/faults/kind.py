"""The definition of a kind of fault."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Args:
        says: what is wrong with the counted items.
        remedy: what to do about it.
        level: 'error' if it silently loses or corrupts images, annotations or metrics, or ends a
            training run; 'warning' if it is only a likely mistake.
    """

    says: str
    remedy: str
    level: str = 'error'


def warning(says: str, remedy: str) -> Kind:
    return Kind(says, remedy, level='warning')
