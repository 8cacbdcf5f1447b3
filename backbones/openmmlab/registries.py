"""What MMEngine knows of the libraries: their registries, and where their configs are."""

from mmengine.config import Config
from mmengine.registry import Registry, root

# of boxes and instances, and ours of the same
BY_NAME = {'CocoMetric': 'CocoByNameMetric', 'FasterCocoMetric': 'FasterCocoByNameMetric'}
COCO_METRICS = (*BY_NAME, *BY_NAME.values())
IOU_METRICS = ('IoUMetric', 'ClasswiseIoUMetric')  # of label maps


def find_class(name: str | type, scope: str | None) -> type | None:
    """The registered class of that `type`, in whichever registry it is."""
    if isinstance(name, type):
        return name
    import_scope(scope)
    registries = [r for r in vars(root).values() if isinstance(r, Registry)]
    names = (name, f'{scope}.{name}') if scope and '.' not in name else (name,)
    found = (registry.get(n) for n in names for registry in registries)
    return next((cls for cls in found if cls is not None), None)


def import_scope(scope: str | None) -> None:
    """Import the library that a config's `default_scope` names, so that its registries are full."""
    if scope == 'mmdet':
        import mmdet.utils

        mmdet.utils.register_all_modules(init_default_scope=False)
    elif scope == 'mmseg':
        import mmseg.utils

        mmseg.utils.register_all_modules(init_default_scope=False)


def imports_of(cfg: Config) -> list[str]:
    """The modules that a config imports when it is read; MMEngine takes one name as well."""
    names = (cfg.get('custom_imports') or {}).get('imports') or []
    return [names] if isinstance(names, str) else list(names)


def add_import(cfg: Config, module: str) -> None:
    """Let a config import a module, too: a written config shall stand alone."""
    if module not in imports_of(cfg):
        others = cfg.get('custom_imports') or dict(allow_failed_imports=False)
        cfg.custom_imports = dict(others, imports=[*imports_of(cfg), module])
