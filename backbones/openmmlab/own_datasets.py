"""What a dataset class of another project decides itself, rather than in a config."""

import inspect
import os
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset

from backbones.openmmlab.registries import find_class
from backbones.variants import arguments_of

KNOWN = ('backbones', 'mmdet', 'mmengine', 'mmseg')  # their classes have defaults in signatures
DECIDED = ('ann_file', 'img_suffix', 'reduce_zero_label', 'seg_map_suffix')
LEFT_OUT = ('type', '_scope_', 'pipeline', 'lazy_init')


class Settings(dict):
    """A dataset's settings, with those that its class decides.

    Args:
        settings: the settings.
        built: the dataset without its data, if its class is of another project and accepts them.
    """

    def __init__(self, settings: dict, built: Any = None) -> None:
        super().__init__(settings)
        self.built = built

    def listed(self) -> list[dict] | None:
        """Return entries with `img_path` and `seg_map_path` if the class lists them itself."""
        own = self.built is not None and _is_own(type(self.built), 'load_data_list')
        return self.built.load_data_list() if own else None


def settings_of(cfg: Config, dataset: dict) -> Settings:
    """Return a dataset's settings, with those that its class passes to its base class."""
    if isinstance(dataset, Settings):
        return dataset
    built = _built(cfg, dataset)
    if built is None or not _is_own(type(built), '__init__'):
        return Settings(dataset, built)
    decided = {name: getattr(built, name) for name in DECIDED if getattr(built, name, None)}
    if 'ann_file' in decided:  # it is joined with its folder
        decided['ann_file'] = os.path.abspath(decided['ann_file'])
    if 'data_prefix' not in dataset:
        folders = built.data_prefix.items()
        decided['data_prefix'] = {name: os.path.abspath(v) for name, v in folders if v}
    meta = {**(dataset.get('metainfo') or {}), **built.metainfo}
    return Settings({**dataset, **decided, **({'metainfo': meta} if meta else {})}, built)


def _built(cfg: Config, dataset: dict) -> Any:
    """Build a dataset without its data; None if its class has nothing of its own."""
    found = find_class(dataset['type'], cfg.get('default_scope'))
    if not (inspect.isclass(found) and issubclass(found, BaseDataset)):
        return None
    cls: Any = found
    names, others = arguments_of(cls)
    own = any(_is_own(cls, name) for name in ('__init__', 'load_data_list'))
    if not own or not (others or 'lazy_init' in names):
        return None
    settings = {name: value for name, value in dataset.items() if name not in LEFT_OUT}
    try:
        return cls(**settings, pipeline=[], lazy_init=True)
    except Exception:  # a class may raise anything about its arguments: loading reports it
        return None


def _is_own(cls: type, method: str) -> bool:
    """Return whether a class of another project defines a method."""
    owner = next(base for base in cls.__mro__ if method in vars(base))
    return owner.__module__.partition('.')[0] not in KNOWN
