"""The packages of two extras: `openmmlab`, for the tools, and `runtime`, for exported files.

The latter is for environments without PyTorch. Packages of the former may be installed from two
distributions, which share files.
"""

import warnings
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

from backbones.errors import UserError

COMMAND = "pip install 'dense-backbones[openmmlab]'"
# by import name
MODULES = (
    *('mmengine', 'mmcv', 'mmdet', 'mmseg', 'cv2', 'torchvision', 'numpy', 'matplotlib', 'PIL'),
    *('defusedxml', 'faster_coco_eval', 'pycocotools', 'sklearn', 'supervision', 'yaml'),
)
# pip would install PyTorch with `dense-backbones[runtime]`
RUNTIME = (
    *('onnxruntime', "'opencv-python-headless>=4.12,<4.13'"),
    *('pycocotools', 'rich', 'supervision', 'tifffile'),
)
RUNTIME_COMMAND = f'pip install {" ".join(RUNTIME)}'
RUNTIME_MODULES = (
    'cv2',
    'numpy',
    'PIL',
    'pycocotools',
    'rich',
    'supervision',
    'tifffile',
)
# dependencies of the extra `openmmlab`, and other distributions with the same import name
SAME_FILES = {
    'onedl-mmengine': ('mmengine', 'mmengine-lite'),
    'onedl-mmcv': ('mmcv', 'mmcv-full', 'mmcv-lite'),
    'onedl-mmdetection': ('mmdet',),
    'onedl-mmsegmentation': ('mmsegmentation',),
}


class MissingExtraError(UserError, ImportError):
    """Packages that a part of this project needs are not installed."""


def missing_extra(what: str, modules: list[str]) -> MissingExtraError:
    """Return the error for a part that needs `modules`, with the command to install them."""
    where = ''
    if own := openmmlabs_own():
        where = f' in another environment, as it would overwrite {", ".join(own)} here'
    return MissingExtraError(
        f'{what} needs {", ".join(modules)}, which {_verb(modules)} not installed; run '
        f'{COMMAND}{where}'
    )


def require_extra(what: str) -> None:
    """Check that the extra is installed.

    Raises:
        MissingExtraError: parts of it are missing.
    """
    if modules := [name for name in MODULES if find_spec(name) is None]:
        raise missing_extra(what, modules)


def require_runtime(what: str) -> None:
    """Check that what an exported file needs for predictions is installed, except its runtime.

    Raises:
        MissingExtraError: parts of it are missing.
    """
    if modules := [name for name in RUNTIME_MODULES if find_spec(name) is None]:
        raise MissingExtraError(
            f'{what} needs {", ".join(modules)}, which {_verb(modules)} not installed; run '
            f'{RUNTIME_COMMAND}'
        )


def _verb(modules: list[str]) -> str:
    return 'is' if len(modules) == 1 else 'are'


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
