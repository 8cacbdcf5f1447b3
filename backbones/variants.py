"""A row of a backbone's table, with all facts about a variant."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

from torch import nn

from backbones.errors import ArgumentError, UserError, did_you_mean

# a setting's name in timm or MMDetection: our name
RENAMED = dict(
    in_chans='in_channels',
    drop_path='drop_path_rate',
    with_checkpoint='with_cp',
    use_checkpoint='with_cp',
    freeze='frozen_stages',
)
SHORT = {'xtiny': 'xt', 'tiny': 't', 'small': 's', 'base': 'b', 'large': 'l', 'xlarge': 'xl'}


class Backbone(Protocol):
    """What rows, registry and checkpoints use of a backbone's class. See `Pyramid`."""

    __name__: str
    ARCHS: dict[str, Variant]
    PUBLISHED: Any
    WEIGHTS: str

    def __call__(self, arch: str | dict, **settings: Any) -> nn.Module:
        """Build the backbone."""


def type_of(cls: Any) -> str:
    """Return a class's name in a config.

    For a class of another package, that is its path: MMEngine then imports it, and does not take a
    class of its own libraries that has the same name.
    """
    inside = cls.__module__.partition('.')[0] == __name__.partition('.')[0]
    local = '<locals>' in cls.__qualname__
    return cls.__name__ if inside or local else f'{cls.__module__}.{cls.__qualname__}'


def arguments_of(cls: Any) -> tuple[list[str], bool]:
    """Return the names of a class's arguments, and whether it accepts others.

    Arguments of its base are included if it passes others on.
    """
    found: dict[str, None] = {}
    for base in cls.__mro__:
        if '__init__' not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(vars(base)['__init__']).parameters.values())[1:]
        others = [p for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        found |= dict.fromkeys(p.name for p in parameters if p not in others)
        if all(p.kind is not p.VAR_KEYWORD for p in others):
            return list(found), False
    return list(found), True  # passed on, but not to a base class


def rates(detection: float, *, upernet: float | None = None) -> dict[str, float]:
    """Return the drop path rates of the recipes `detection`, `semantic_fpn` and `upernet`."""
    upernet = detection if upernet is None else upernet
    return dict(detection=detection, semantic_fpn=detection, upernet=upernet)


class Variant(dict):
    """The architecture as a dict, with other facts about the variant as attributes.

    Args:
        parameters: number in the dense backbone, without the classifier and this project's own
            additions.
        gmacs: 1e9 multiply-adds for one 224x224 image, attention included, as published or counted
            on the published code.
        weights: URL of the authors' ImageNet file, followed by `#sha256=DIGITS` if the digits are
            known; None if no file can be fetched.
        more_weights: URLs of the authors' other ImageNet files for the variant, by the images that
            they were trained on; they load like `weights`.
        drop_path: rates in the recipes that its configs follow: 'detection', 'semantic_fpn' and
            'upernet'.
        mean: what the weights expect, by channel, for RGB from 0 to 255; None means ImageNet's.
        std: the standard deviation, likewise.
        architecture: arguments of the class's `arch`.

    Attributes:
        optimizer: the only optimizer that the authors used.
        cls: the class; `backbones.register` fills in this and the next two.
        arch: the variant's name in the class's table.
        name: its short name, such as 'cswin_b_384'.
    """

    cls: Backbone
    arch: str
    name: str
    # how all five were trained on ImageNet: RGB from 0 to 255, and their optimizer
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    optimizer: str | None = 'AdamW'

    def __init__(
        self,
        *,
        parameters: int | None = None,
        gmacs: float | None = None,
        weights: str | None = None,
        more_weights: dict[str, str] | None = None,
        drop_path: dict[str, float] | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        **architecture: Any,
    ) -> None:
        super().__init__(architecture)
        self.parameters, self.gmacs, self.weights = parameters, gmacs, weights
        self.more_weights = more_weights or {}
        self.drop_path = drop_path or rates(0.0)
        self.mean, self.std = mean or self.mean, std or self.std

    @property
    def channels(self) -> list[int]:
        """Return the channels of the four levels, as `in_channels` of necks and heads."""
        return list(self['dims'])

    def channels_of(self, settings: dict) -> list[int]:
        """Return the channels of the four levels of a backbone with these settings."""
        return self.channels

    def settings(self, method: str | None = None) -> dict:
        """Return the backbone's part of a model config, with published weights if available.

        Args:
            method: 'detection', 'semantic_fpn' or 'upernet', to add the recipe's drop path rate.

        Raises:
            UserError: the method is another one.
        """
        settings: dict = dict(type=type_of(self.cls), arch=self.arch)
        if self.weights:
            settings['init_cfg'] = dict(type='Pretrained', checkpoint=self.weights)
        if method is not None:
            if method not in self.drop_path:
                raise UserError(f'method is {method!r}; allowed: {", ".join(self.drop_path)}')
            settings['drop_path_rate'] = self.drop_path[method]
        return settings

    def check_settings(self, settings: dict[str, Any]) -> None:
        """Reject settings that the class does not have.

        Raises:
            ArgumentError: a setting is unknown; lists the arguments and suggests close ones.
        """
        known = [p for p in arguments_of(self.cls)[0] if p not in ('arch', 'init_cfg')]
        for setting in settings:
            if setting == 'init_cfg':
                raise ArgumentError(
                    'create() does not accept init_cfg; give the checkpoint as pretrained=FILE'
                )
            if setting not in known:
                hint = did_you_mean(RENAMED.get(setting, setting), known)
                raise ArgumentError(
                    f'{self.name} has no setting {setting!r}; allowed: {", ".join(known)}{hint}'
                )

    def of(self, cls: Backbone, arch: str, name: str) -> Variant:
        """Return a copy with its class and its names filled in."""
        row = Variant(**self)
        row.__dict__.update(vars(self), cls=cls, arch=arch, name=name)
        return row


def complete(cls: Backbone) -> dict[str, Variant]:
    """Return a class's table with the class and the names in each row; a plain dict is a row."""
    rows = {a: row if isinstance(row, Variant) else Variant(**row) for a, row in cls.ARCHS.items()}
    return {arch: row.of(cls, arch, short_name(cls, arch)) for arch, row in rows.items()}


def short_name(cls: Backbone, arch: str) -> str:
    """Return a variant's name in configs and files, such as 'cswin_b_384'."""
    return '_'.join([cls.__name__.lower(), *(SHORT.get(part, part) for part in arch.split('_'))])
