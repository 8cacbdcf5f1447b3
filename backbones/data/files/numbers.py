"""Numbers in annotation files."""

import math
from collections.abc import Collection
from typing import TypeGuard

DIGITS = 9  # maximum of a width or height
LARGEST_ID = 1 << 53  # faster-coco-eval computes with ids as floats


def are_numbers(values: Collection[object]) -> bool:
    """Return whether all values are finite numbers that a float can hold, unlike 10 ** 400.

    COCO's masks have some thirty million numbers, so there is no Python loop over them.
    """
    if not set(map(type, values)) <= {int, float}:  # bool is a type of its own
        return False
    try:
        return all(map(math.isfinite, values))  # type: ignore[arg-type]
    except OverflowError:
        return False


def is_id(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    return are_numbers((value,))


def is_box(box: object) -> TypeGuard[list[float]]:
    return isinstance(box, list) and len(box) == 4 and are_numbers(box)


def size_of(width: str, height: str) -> tuple[int, int] | None:
    """Parse an image's size in a text file; None unless both numbers are positive integers."""
    sides = [int(text) for text in (width, height) if text.isdecimal() and len(text) <= DIGITS]
    return (sides[0], sides[1]) if len(sides) == 2 and all(sides) else None


def rounded(box: list[float]) -> list[float]:
    return [float(f'{v:.4g}') for v in box]
