"""MMEngine's registries, filled by the library that a config is for."""

from mmengine.registry import Registry, root


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
