"""The backbones and their variants, by short names; a class joins by one decorator."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from backbones.errors import ArgumentError, UserError, did_you_mean
from backbones.variants import Backbone, Variant

BACKBONES: list[Backbone] = []  # in the order of registration
# of names with a colon: what looks up the rest
SCHEMES: dict[str, Callable[[str], Variant]] = {}
TOLD: list[Callable[[Backbone], None]] = []  # called with each class that registers
SHORT = {'xtiny': 'xt', 'tiny': 't', 'small': 's', 'base': 'b', 'large': 'l', 'xlarge': 'xl'}
# what timm and MMDetection call a setting: our name
RENAMED = dict(
    in_chans='in_channels',
    drop_path='drop_path_rate',
    with_checkpoint='with_cp',
    use_checkpoint='with_cp',
    freeze='frozen_stages',
)
Class = TypeVar('Class')


def register(cls: Class) -> Class:
    """Make a `Pyramid` subclass known to this project and, if there, to MMEngine, as a decorator.

    Its variants are then listed by `list_backbones()`, built by `create()`, and suggested when a
    checkpoint fits one of them better than the model that it was meant for. A plain dict in its
    table is a row of which nothing but the architecture is known. A class that is defined again, as
    in a notebook's cell, takes the place of its older self, with a warning.

    Raises:
        UserError: another class has a variant of the same short name.
    """
    backbone: Any = cls  # to a type checker a class does not have what `Backbone` asks for
    backbone.ARCHS = {
        arch: (row if isinstance(row, Variant) else Variant(**row)).of(
            backbone, arch, short_name(backbone, arch)
        )
        for arch, row in backbone.ARCHS.items()
    }
    older = [other for other in BACKBONES if full_name(other) == full_name(backbone)]
    taken = {row.name: row.cls for row in variants().values() if row.cls not in older}
    for row in backbone.ARCHS.values():
        if row.name in taken:
            raise UserError(
                f'{full_name(backbone)} has a variant {row.name!r}, as '
                f'{full_name(taken[row.name])} has: give the class another name'
            )
    if older:
        warnings.warn(f'{full_name(backbone)} is defined again and takes the place of the first')
        BACKBONES[BACKBONES.index(older[0])] = backbone
    else:
        BACKBONES.append(backbone)
    for tell in TOLD:
        tell(backbone)
    return cls


def full_name(cls: Callable) -> str:
    """Name with module, by which MMEngine finds what no registry has."""
    return f'{cls.__module__}.{getattr(cls, "__qualname__", cls)}'


def short_name(cls: Backbone, arch: str) -> str:
    """The name of a variant in configs and files, e.g. 'cswin_b_384'."""
    return '_'.join([cls.__name__.lower(), *(SHORT.get(part, part) for part in arch.split('_'))])


def variants() -> dict[str, Variant]:
    """All rows by short name."""
    return {row.name: row for cls in BACKBONES for row in cls.ARCHS.values()}


def list_backbones() -> list[str]:
    """Short names of all variants, e.g. 'dilateformer_t', 'cswin_b_384', 'volo_d1'."""
    return list(variants())


def names_backbone(text: str) -> bool:
    """Whether a text is the name of a backbone, ours or of a scheme such as 'timm:'."""
    return text in variants() or text.startswith(tuple(SCHEMES))


def variant(name: str) -> Variant:
    """The row of a short name: architecture, channels, counts, weights, drop path rates.

    Raises:
        UserError: an unknown name; names close ones.
    """
    scheme, sign, rest = name.partition(':')
    if f'{scheme}{sign}' in SCHEMES:
        return SCHEMES[f'{scheme}{sign}'](rest)
    known = variants()
    if name not in known:
        raise UserError(
            f'no backbone {name!r}; allowed: {", ".join(known)}{did_you_mean(name, known)}'
        )
    return known[name]


def create(name: str, *, pretrained: bool | str | None = None, **settings: Any) -> nn.Module:
    """Build a backbone with initialised weights, without a config.

    Args:
        name: one of `list_backbones()`, or 'timm:NAME' of a model of timm.
        pretrained: True takes the file that the variant's authors published; a string is a path, a
            URL or `hf-hub:OWNER/REPO` of a published file or of one of ours; None and False start
            from scratch.
        settings: arguments of the class, e.g. `out_indices=(1, 2, 3)`, `in_channels=4`, or
            `fast=False` for the plain form of every part.

    Returns:
        The backbone in training mode; `backbone(images)` is a tuple of feature maps.

    Raises:
        UserError: an unknown name or setting; True where no file can be fetched; or see `Pyramid`.
    """
    row = variant(name)
    _check_settings(name, row, settings)
    if pretrained is True and not row.weights:
        raise UserError(
            f'pretrained=True: no file of {name} can be fetched ({row.cls.WEIGHTS}); give the path '
            'of one, pretrained=FILE, or leave it out to start from scratch'
        )
    checkpoint = row.weights if pretrained is True else pretrained
    init_cfg = dict(type='Pretrained', checkpoint=checkpoint) if checkpoint else None
    backbone = row.cls(row.arch, init_cfg=init_cfg, **settings)
    backbone.init_weights()
    return backbone


def _check_settings(name: str, row: Variant, settings: dict[str, Any]) -> None:
    """Refuse what the class has no argument for.

    Raises:
        ArgumentError: it lists the arguments, and names close ones.
    """
    known = [p for p in inspect.signature(row.cls).parameters if p not in ('arch', 'init_cfg')]
    for setting in settings:
        if setting == 'init_cfg':
            raise ArgumentError(
                'create() takes no init_cfg; give the checkpoint as pretrained=FILE'
            )
        if setting not in known:
            hint = did_you_mean(RENAMED.get(setting, setting), known)
            raise ArgumentError(
                f'{name} has no setting {setting!r}; allowed: {", ".join(known)}{hint}'
            )
