"""Looking up what MMEngine knows of the libraries: their registries and modules."""

from importlib import import_module

from mmengine.config import Config
from mmengine.registry import Registry, root

from backbones.errors import did_you_mean

# metrics of boxes and instances, and our versions of them
BY_NAME = {'CocoMetric': 'CocoByNameMetric', 'FasterCocoMetric': 'FasterCocoByNameMetric'}
COCO_METRICS = (*BY_NAME, *BY_NAME.values())
LIBRARIES = ('mmcv', 'mmdet', 'mmengine', 'mmseg', 'torch')
# our classes for configs, by the module to import
OURS = {
    'ChannelDetDataPreprocessor': 'backbones.data.channels_mmdet',
    'ChannelSegDataPreProcessor': 'backbones.data.channels_mmseg',
    'CocoByNameDataset': 'backbones.data.coco_by_name',
    'CocoByNameMetric': 'backbones.data.coco_by_name',
    'FasterCocoByNameMetric': 'backbones.data.coco_by_name',
    'ListedPairsDataset': 'backbones.data.listed_pairs',
    'LoadChannels': 'backbones.data.load_channels',
    'LoadMappedAnnotations': 'backbones.data.load_mapped',
    'MixedSuffixDataset': 'backbones.data.mixed_suffixes',
    'BackboneRate': 'backbones.training.backbone_rate',
    'DurableCheckpointHook': 'backbones.training.checkpoints',
    'CpuAmpOptimWrapper': 'backbones.training.cpu_amp',
    'ResumableEarlyStoppingHook': 'backbones.training.early_stopping',
    'FittedEMAHook': 'backbones.training.ema',
    'LayerDecay': 'backbones.training.layer_decay',
    'ExactEpochLoop': 'backbones.training.loop',
    'ExactIterLoop': 'backbones.training.loop',
    'LoraHook': 'backbones.training.lora',
    'ClasswiseIoUMetric': 'backbones.training.metrics',
    'FiniteLossHook': 'backbones.training.nan_guard',
    'SignalHook': 'backbones.training.signals',
}
IOU_METRICS = ('IoUMetric', 'ClasswiseIoUMetric')  # for label maps


def find_class(name: str | type, scope: str | None) -> type | None:
    """Return the class registered as that `type` in any registry; None if there is none."""
    if isinstance(name, type):
        return name
    import_scope(scope)
    roots = registries()
    for registry in roots + [r.children[scope] for r in roots if scope in r.children]:
        if name in registry.module_dict:
            return registry.module_dict[name]
    # slower: `get` also imports other libraries, and classes named by their paths
    path = f'{scope}.{name}' if scope and '.' not in name else name
    return next((cls for r in roots if (cls := r.get(path)) is not None), None)


def registries() -> list[Registry]:
    """Return MMEngine's registries; those of other libraries are their children."""
    return [r for r in vars(root).values() if isinstance(r, Registry)]


def misspelt(part: object, scope: str | None) -> str:
    """Name the first `type` in a part of a config that is close to a class's name, but none's.

    Returns:
        "; no class is called 'Adamw'; did you mean 'AdamW'?", the import that a class of ours
        needs, or '' if there is none.
    """
    if isinstance(part, dict):
        name = part.get('type')
        if isinstance(name, str) and find_class(name, scope) is None:
            if module := OURS.get(name):
                return (
                    f"; add '{module}' to custom_imports.imports: a list in a config replaces the "
                    'list of its _base_'
                )
            known = {
                n for r in registries() for c in (r, *r.children.values()) for n in c.module_dict
            }
            if hint := did_you_mean(name, known, closeness=0.8):
                return f'; no class is called {name!r}{hint}'
        part = list(part.values())
    found = (misspelt(p, scope) for p in part) if isinstance(part, list | tuple) else ()
    return next(filter(None, found), '')


def import_scope(scope: str | None) -> None:
    """Import the library named by a config's `default_scope`, which fills its registries."""
    if scope == 'mmdet':
        import mmdet.utils

        mmdet.utils.register_all_modules(init_default_scope=False)
    elif scope == 'mmseg':
        import mmseg.utils

        mmseg.utils.register_all_modules(init_default_scope=False)


def imports_of(cfg: Config) -> list[str]:
    """Return the modules that a config imports; MMEngine also accepts a single name."""
    names = (cfg.get('custom_imports') or {}).get('imports') or []
    return [names] if isinstance(names, str) else list(names)


def add_import(cfg: Config, module: str) -> None:
    """Import a module, and add it to a config's imports, so that the saved config works alone."""
    import_module(module)
    if module not in imports_of(cfg):
        others = cfg.get('custom_imports') or dict(allow_failed_imports=False)
        cfg.custom_imports = dict(others, imports=[*imports_of(cfg), module])


def name_classes(cfg: Config) -> None:
    """Name the classes that a config in pure Python gives as `type`, as other configs do."""
    _name_classes(dict(cfg.items()), cfg.get('default_scope'))


def _name_classes(part: object, scope: str | None) -> None:
    if isinstance(part, list | tuple):
        for entry in part:
            _name_classes(entry, scope)
    if isinstance(part, dict):
        cls = part.get('type')
        if cls is not None and not isinstance(cls, str):
            # classes of other packages keep their path, by which MMEngine imports them
            known = cls.__module__.partition('.')[0] in LIBRARIES
            short = known and find_class(cls.__name__, scope) is cls
            part['type'] = cls.__name__ if short else f'{cls.__module__}.{cls.__qualname__}'
        for entry in list(part.values()):
            _name_classes(entry, scope)
