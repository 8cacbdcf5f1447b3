"""OpenMMLab's packages exist in two sets of distributions that write the same files."""

import warnings
from importlib.metadata import PackageNotFoundError, distribution

# what the extra `openmmlab` depends on: distributions of the same import name by others
SAME_FILES = {
    'onedl-mmengine': ('mmengine', 'mmengine-lite'),
    'onedl-mmcv': ('mmcv', 'mmcv-full', 'mmcv-lite'),
    'onedl-mmdetection': ('mmdet',),
    'onedl-mmsegmentation': ('mmsegmentation',),
}


def warn_of_doubles() -> None:
    """Warn if two distributions share an import name: whichever came last has overwritten files.

    pip notices nothing and goes on, so `import` finds a mixture of two versions.
    """
    doubles = {
        ours: others
        for ours, names in SAME_FILES.items()
        if _installed(ours) and (others := [name for name in names if _installed(name)])
    }
    if doubles:
        pairs = ', '.join(f'{" and ".join(others)} and {ours}' for ours, others in doubles.items())
        theirs = ' '.join(name for others in doubles.values() for name in others)
        warnings.warn(
            f'installed twice under one import name, so that files of two versions are mixed: '
            f'{pairs}; to mend it, run `pip uninstall -y {theirs}` and then '
            f'`pip install --force-reinstall --no-deps {" ".join(doubles)}`',
            stacklevel=3,
        )


def openmmlabs_own() -> list[str]:
    """The distributions of OpenMMLab that are installed, whose files ours would overwrite."""
    return [name for names in SAME_FILES.values() for name in names if _installed(name)]


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
