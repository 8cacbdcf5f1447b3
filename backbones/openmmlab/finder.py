"""Importing what no file holds: mmcv's operators if it has none, and modules by their 0.1 paths."""

import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

COMPILED = 'mmcv._ext'  # the module of mmcv's compiled operators
# users' configs may name these; 0.2 warns
MOVED = {
    'backbones.predict': 'backbones.inference',
    'backbones.openmmlab.averaging': 'backbones.training.ema',
    'backbones.openmmlab.backbone_rate': 'backbones.training.backbone_rate',
    'backbones.openmmlab.bad_numbers': 'backbones.training.nan_guard',
    'backbones.openmmlab.checkpoint_hook': 'backbones.training.checkpoints',
    'backbones.openmmlab.coco_by_name': 'backbones.data.coco_by_name',
    'backbones.openmmlab.early_stopping': 'backbones.training.early_stopping',
    'backbones.openmmlab.layer_decay': 'backbones.training.layer_decay',
    'backbones.openmmlab.metrics': 'backbones.training.metrics',
    'backbones.openmmlab.mixed_suffixes': 'backbones.data.mixed_suffixes',
    'backbones.openmmlab.swap': 'backbones.openmmlab.replace_backbone',
}


class Finder(MetaPathFinder, Loader):
    """Find these modules; as the last finder, it never hides an existing one."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        known = name == COMPILED or name in MOVED
        return ModuleSpec(name, self, origin=__file__) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        if spec.name in MOVED:
            return None  # Python's usual module
        from backbones.openmmlab.mmcv_ops import StandIn

        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if new := MOVED.get(module.__name__):
            warnings.warn(f'{module.__name__} is now {new}; 0.3 drops the old name', FutureWarning)
            names = {k: v for k, v in vars(import_module(new)).items() if not k.startswith('__')}
            vars(module).update(names)
