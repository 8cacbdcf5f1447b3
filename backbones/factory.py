"""Building a backbone by its short name, without a config."""

from __future__ import annotations

from typing import Any

from backbones.adapted.pyramid import AdaptedPyramid
from backbones.errors import UserError
from backbones.pyramid import Pyramid
from backbones.registry import variant


def create(
    name: str, *, pretrained: bool | str | None = None, **settings: Any
) -> Pyramid | AdaptedPyramid:
    """Build a backbone with initialised weights, without a config.

    Args:
        name: one of `list_backbones()`, 'timm:NAME' or 'hf:OWNER/REPO'.
        pretrained: True loads the authors' file for the variant; a string is the path, URL or
            `hf-hub:OWNER/REPO` of a published file or one of ours; None and False start from
            scratch.
        settings: arguments of the class, such as `out_indices=(1, 2, 3)`, `in_channels=4`, or
            `fast=False` for the plain form of every part.

    Returns:
        The backbone in training mode; `backbone(images)` returns a tuple of feature maps.

    Raises:
        UserError: the name or a setting is unknown; `pretrained` is True but no file can be
            fetched; or see `Pyramid`.
    """
    row = variant(name)
    row.check_settings(settings)
    if pretrained is True and not row.weights:
        raise UserError(
            f'pretrained=True: no file of {name} can be fetched ({row.cls.WEIGHTS}); give its path '
            'as pretrained=FILE, or leave it out to start from scratch'
        )
    checkpoint = row.weights if pretrained is True else pretrained
    init_cfg = dict(type='Pretrained', checkpoint=checkpoint) if checkpoint else None
    backbone = row.cls(row.arch, init_cfg=init_cfg, **settings)
    backbone.init_weights()
    return backbone
