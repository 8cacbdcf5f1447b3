"""The packages of two extras: `openmmlab`, for the tools, and `runtime`, for exported files.

The latter is for environments without PyTorch.
"""

from importlib.util import find_spec

from backbones.errors import UserError
from backbones.openmmlab.distributions import openmmlabs_own

COMMAND = "pip install 'dense-backbones[openmmlab]'"
# by import name
MODULES = (
    *('mmengine', 'mmcv', 'mmdet', 'mmseg', 'cv2', 'torchvision', 'numpy', 'matplotlib', 'PIL'),
    *('defusedxml', 'faster_coco_eval', 'pycocotools', 'sklearn', 'supervision', 'yaml'),
)
# pip would install PyTorch with `dense-backbones[runtime]`
RUNTIME = (
    *('onnxruntime', "'opencv-python-headless>=4.12,<4.13'"),
    *('prettytable', 'pycocotools', 'rich', 'supervision', 'tifffile'),
)
RUNTIME_COMMAND = f'pip install {" ".join(RUNTIME)}'
RUNTIME_MODULES = (
    'cv2',
    'numpy',
    'PIL',
    'prettytable',
    'pycocotools',
    'rich',
    'supervision',
    'tifffile',
)


class MissingExtraError(UserError, ImportError):
    """Packages that a part of this project needs are not installed."""


def missing_extra(what: str, modules: list[str]) -> MissingExtraError:
    """Return the error for a part that needs `modules`, with the command to install them."""
    where = ''
    if own := openmmlabs_own():
        where = f' in another environment, as it would overwrite {", ".join(own)} here'
    return MissingExtraError(
        f'{what} needs {", ".join(modules)}, which are not installed; run {COMMAND}{where}'
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
            f'{what} needs {", ".join(modules)}, which are not installed; run {RUNTIME_COMMAND}'
        )
