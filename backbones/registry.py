"""The backbones and their variants by short name; one decorator registers a class."""

from __future__ import annotations

import fnmatch
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from backbones.errors import ArgumentError, UserError, did_you_mean
from backbones.variants import Backbone, Variant, complete

BACKBONES: list[Backbone] = []  # in the order of registration
# look-up functions for names with a scheme, such as 'timm:'
SCHEMES: dict[str, Callable[[str], Variant]] = {}
TOLD: list[Callable[[Backbone], None]] = []  # called with each registered class
Class = TypeVar('Class')


def register(cls: Class) -> Class:
    """Register a `Pyramid` subclass, also with MMEngine if it is installed; a decorator.

    `list_backbones()` then lists its variants, `create()` builds them, and error messages suggest
    them for checkpoints that fit them. A plain dict in its table is a row with only the
    architecture. If a class is defined again, as in a notebook cell, it replaces the earlier one,
    with a warning.

    Raises:
        ArgumentError: `cls` is not such a class, or its table has no rows that are dicts.
        UserError: another class has a variant of the same short name.
    """
    backbone: Any = cls  # type checkers do not see that the class has what `Backbone` requires
    if not (inspect.isclass(cls) and hasattr(cls, 'ARCHS')):
        raise ArgumentError(f'{cls!r} is not a subclass of backbones.Pyramid')
    table = backbone.ARCHS
    rows = list(table.values()) if isinstance(table, Mapping) else []
    if not (rows and all(isinstance(row, Mapping) for row in rows)):
        raise ArgumentError(
            f'{backbone.__name__}.ARCHS is {table!r}; required is a dict of variants, each a dict '
            'with dims, depths and whatever else the class needs'
        )
    backbone.ARCHS = complete(backbone)
    older = [other for other in BACKBONES if full_name(other) == full_name(backbone)]
    taken = {row.name: row.cls for row in variants().values() if row.cls not in older}
    for row in backbone.ARCHS.values():
        if row.name in taken:
            raise UserError(
                f'{full_name(backbone)} and {full_name(taken[row.name])} both have a variant '
                f'{row.name!r}: rename the class'
            )
    if older:
        warnings.warn(f'{full_name(backbone)} is defined again and replaces the first one')
        BACKBONES[BACKBONES.index(older[0])] = backbone
    else:
        BACKBONES.append(backbone)
    for tell in TOLD:
        tell(backbone)
    return cls


def full_name(cls: Callable) -> str:
    """Return the name with its module, by which MMEngine finds unregistered classes."""
    return f'{cls.__module__}.{getattr(cls, "__qualname__", cls)}'


def variants() -> dict[str, Variant]:
    """Return all rows by short name."""
    return {row.name: row for cls in BACKBONES for row in cls.ARCHS.values()}


def list_backbones(pattern: str = '*') -> list[str]:
    """Return the short names of all variants, such as 'dilateformer_t' and 'cswin_b_384'.

    Args:
        pattern: return only names that match it, such as 'cswin*'.
    """
    return fnmatch.filter(variants(), pattern)


def names_backbone(text: str) -> bool:
    """Whether a text is the name of a backbone, ours or of a scheme such as 'timm:'."""
    return text in variants() or text.startswith(tuple(SCHEMES))


def variant(name: str) -> Variant:
    """Look up a variant by its short name: architecture, channels, counts, weights, drop path.

    Raises:
        UserError: the name is unknown; the message suggests close ones.
    """
    scheme, sign, rest = name.partition(':')
    if f'{scheme}{sign}' in SCHEMES:
        return SCHEMES[f'{scheme}{sign}'](rest)
    known = variants()
    if name not in known:
        raise UserError(
            f'no backbone {name!r}; allowed: {", ".join([*known, *(f"{s}NAME" for s in SCHEMES)])}'
            f'{did_you_mean(name, known)}'
        )
    return known[name]
