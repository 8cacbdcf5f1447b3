"""Detecting OpenMMLab packages installed from two distributions that share files."""

import warnings
from importlib.metadata import PackageNotFoundError, distribution

# dependencies of the extra `openmmlab`, and other distributions with the same import name
SAME_FILES = {
    'onedl-mmengine': ('mmengine', 'mmengine-lite'),
    'onedl-mmcv': ('mmcv', 'mmcv-full', 'mmcv-lite'),
    'onedl-mmdetection': ('mmdet',),
    'onedl-mmsegmentation': ('mmsegmentation',),
}


def warn_of_doubles() -> None:
    """Warn if two distributions share an import name, since one has overwritten the other's files.

    pip does not notice, so `import` finds a mixture of two versions.
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
            f'installed twice under the same import name, which mixes files of two versions: '
            f'{pairs}. To fix this, run `pip uninstall -y {theirs}` and then '
            f'`pip install --force-reinstall --no-deps {" ".join(doubles)}`',
            stacklevel=3,
        )


def openmmlabs_own() -> list[str]:
    """Return OpenMMLab's installed distributions, whose files our dependencies would overwrite."""
    return [name for names in SAME_FILES.values() for name in names if _installed(name)]


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
