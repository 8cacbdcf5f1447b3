"""Other libraries' models as variants, named 'timm:NAME' and 'hf:OWNER/REPO'."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from backbones.adapted import hf_models, timm_models
from backbones.adapted.families import Recipe, recipe_of
from backbones.adapted.hf_pyramid import HfPyramid
from backbones.adapted.pyramid import AdaptedPyramid
from backbones.adapted.timm_pyramid import TimmPyramid
from backbones.variants import Variant


class AdaptedVariant(Variant):
    """The facts of a `Variant` for another library's model, read from the model itself.

    Attributes:
        family: timm's module, or transformers' kind of model; see `families`.
        licence: licence of the weights as the library states it; None if it does not.
    """

    optimizer: str | None = None
    licence: str | None = None

    def __init__(self, cls: Any, arch: str, scheme: str, family: str, weights: str | None) -> None:
        super().__init__(weights=weights)
        self.cls, self.arch, self.name, self.family = cls, arch, f'{scheme}{arch}', family
        if recipe_of(family, 'detection'):
            self.optimizer = 'AdamW'

    @functools.cached_property
    def model(self) -> AdaptedPyramid:
        """The model with random weights."""
        with torch.random.fork_rng(devices=[]):
            return self.cls(self.arch)

    @property
    def channels(self) -> list[int]:
        return list(self.model.channels)

    def channels_of(self, settings: dict) -> list[int]:
        kept = {k: v for k, v in settings.items() if k not in ('out_indices', 'init_cfg', 'arch')}
        self.check_settings(kept)
        if not kept:
            return self.channels
        with torch.random.fork_rng(devices=[]), torch.device('meta'):
            return list(self.cls(self.arch, **kept).channels)

    def settings(self, method: str | None = None) -> dict:
        settings: dict = dict(type=self.cls.__name__, arch=self.arch)
        if self.weights:
            settings['init_cfg'] = dict(type='Pretrained', checkpoint=self.weights)
        recipe = self.recipe(method) if method else None
        if recipe:
            settings['drop_path_rate'] = recipe.drop_path
        return settings

    def recipe(self, method: str) -> Recipe | None:
        """Return how models of this family are trained; None if it is not known."""
        return recipe_of(self.family, 'detection' if method == 'detection' else 'segmentation')

    def set_colours(self, mean: Any, std: Any) -> None:
        """Set mean and deviation, for pixels from 0 to 1; None keeps ImageNet's."""
        if mean and std:
            self.mean, self.std = (tuple(255 * float(x) for x in part) for part in (mean, std))


@functools.lru_cache(maxsize=4)
def timm_variant(arch: str) -> AdaptedVariant:
    """Look up one of timm's models.

    Raises:
        UserError: timm is not installed, or has no such model.
    """
    timm_models.check_name(arch)
    facts = timm_models.pretrained_cfg(arch)
    repository, weights = facts.get('hf_hub_id'), None
    if repository:
        named = '.'.join(filter(None, (facts['architecture'], facts.get('tag'))))
        weights = f'hf-hub:{repository}{named if repository.endswith("/") else ""}'
    row = AdaptedVariant(TimmPyramid, arch, timm_models.SCHEME, timm_models.family(arch), weights)
    row.set_colours(facts.get('mean'), facts.get('std'))
    row.licence = facts.get('license')
    return row


@functools.lru_cache(maxsize=4)
def hf_variant(arch: str) -> AdaptedVariant:
    """Look up a transformers model by its repository or its folder.

    Raises:
        UserError: transformers is not installed, or has no backbone of this kind.
    """
    kind = hf_models.read_config(arch).model_type
    folder = Path(arch).expanduser()
    file = folder / 'model.safetensors'
    weights = (str(file) if file.is_file() else None) if folder.is_dir() else f'hf-hub:{arch}'
    row = AdaptedVariant(HfPyramid, arch, hf_models.SCHEME, kind, weights)
    row.mean, row.std = hf_models.colours(arch) or (row.mean, row.std)
    row.licence = hf_models.licence(arch)
    return row


LOOK_UP: dict[str, Callable[[str], Variant]] = {
    timm_models.SCHEME: timm_variant,
    hf_models.SCHEME: hf_variant,
}
