"""Any model of timm as a variant, by the name 'timm:NAME'."""

import functools
from typing import Any

import torch

from backbones.timm_models import SCHEME, check_name, pretrained_cfg
from backbones.timm_pyramid import TimmPyramid
from backbones.variants import Variant


class TimmVariant(Variant):
    """What a `Variant` tells, of a model of timm; read from the model itself."""

    optimizer = None

    def __init__(self, arch: str) -> None:
        cfg = pretrained_cfg(arch)
        super().__init__(weights=self._hub(cfg))
        self.cls: Any = TimmPyramid
        self.arch, self.name = arch, f'{SCHEME}{arch}'
        self.mean = self._colours(cfg, 'mean')
        self.std = self._colours(cfg, 'std')

    @staticmethod
    def _colours(cfg: dict, key: str) -> tuple[float, ...]:
        return tuple(255 * x for x in cfg[key]) if cfg.get(key) else getattr(Variant, key)

    @staticmethod
    def _hub(cfg: dict) -> str | None:
        repository = cfg.get('hf_hub_id')
        if not repository:
            return None
        named = '.'.join(filter(None, (cfg['architecture'], cfg.get('tag'))))
        return f'hf-hub:{repository}{named if repository.endswith("/") else ""}'

    @functools.cached_property
    def model(self) -> TimmPyramid:
        """The model with random weights."""
        with torch.random.fork_rng(devices=[]):
            return TimmPyramid(self.arch)

    @property
    def channels(self) -> list[int]:
        return list(self.model.channels)

    def settings(self, method: str | None = None) -> dict:
        settings: dict = dict(type=TimmPyramid.__name__, arch=self.arch)
        if self.weights:
            settings['init_cfg'] = dict(type='Pretrained', checkpoint=self.weights)
        return settings


@functools.lru_cache(maxsize=4)
def timm_variant(arch: str) -> TimmVariant:
    """Look up one of timm's models.

    Raises:
        UserError: timm is not installed, or has no such model.
    """
    check_name(arch)
    return TimmVariant(arch)
