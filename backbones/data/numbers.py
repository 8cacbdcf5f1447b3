"""Numbers in annotation files."""

import math
from typing import TypeGuard


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number that floats can hold: finite, and not 10 ** 400."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_box(box: object) -> TypeGuard[list[float]]:
    return isinstance(box, list) and len(box) == 4 and all(map(is_number, box))


def rounded(box: list[float]) -> list[float]:
    return [float(f'{v:.4g}') for v in box]
