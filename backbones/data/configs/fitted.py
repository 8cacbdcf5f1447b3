"""Decisions that the data made for a config, and the sizes of its inputs."""

from dataclasses import dataclass, field

import numpy as np
from mmengine.config import Config

from backbones.data.configs.config_text import literal, statement
from backbones.data.configs.write_config import comments
from backbones.openmmlab.config_tree import steps
from backbones.timm_interface import STRIDES


@dataclass
class Fit:
    """Decisions, and the sentences about them.

    Args:
        model: the model's settings.
        steps: type of a transform -> its changed settings.
        batch: images per iteration; None keeps the base's.
        reasons: one sentence per decision, with the number behind it.
        misfits: what still does not fit.
    """

    model: dict
    steps: dict[str, dict] = field(default_factory=dict)
    batch: int | None = None
    reasons: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)

    @property
    def longest(self) -> int | None:
        """The longer side of an input in pixels; None if it is the base's."""
        return self.steps['Resize']['scale'][0] if 'Resize' in self.steps else None

    def lines(self) -> list[str]:
        """Return the config's lines: the reasons, and a function that changes a pipeline."""
        lines = comments(self.reasons)
        if self.steps:
            lines += [
                statement('__fit', literal(self.steps)),
                "__fitted = lambda steps: [dict(x, **__fit.get(x['type'], {})) for x in steps]",
            ]
        return lines

    def wrap(self) -> str:
        """Return the format string that turns the expression for a pipeline into the new one."""
        return '__fitted({})' if self.steps else '{}'


def longest_of(cfg: Config, images: np.ndarray) -> int | None:
    """Return the longer side to which the base resizes the median image; None if it does not."""
    resizes = steps(cfg.val_dataloader, 'Resize')
    scale = resizes[0].get('scale') if resizes else None
    if not scale or not isinstance(scale, list | tuple) or len(scale) != 2:
        return None
    sizes = np.median(images, 0)
    return round(sizes.max() * min(max(scale) / sizes.max(), min(scale) / sizes.min()))


def scaled(longest: int) -> dict[str, dict]:
    return {kind: dict(scale=(longest, longest)) for kind in ('RandomResize', 'Resize')}


def rounded(side: float) -> int:
    """Round up to a multiple of the coarsest stride."""
    return -int(-side // STRIDES[-1]) * STRIDES[-1]
