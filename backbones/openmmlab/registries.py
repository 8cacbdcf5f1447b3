"""Looking up what MMEngine knows of the libraries: their registries and modules."""

from importlib import import_module

from mmengine.config import Config
from mmengine.registry import Registry, root

from backbones.errors import did_you_mean

# metrics of boxes and instances, and our versions of them
BY_NAME = {'CocoMetric': 'CocoByNameMetric', 'FasterCocoMetric': 'FasterCocoByNameMetric'}
COCO_METRICS = (*BY_NAME, *BY_NAME.values())
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
        "; no class is called 'Adamw'; did you mean 'AdamW'?", or '' if there is none.
    """
    if isinstance(part, dict):
        name = part.get('type')
        if isinstance(name, str) and find_class(name, scope) is None:
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
