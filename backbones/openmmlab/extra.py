"""What the core does without: the packages of the extra `openmmlab`, which the tools need."""

from importlib.util import find_spec

from backbones.errors import UserError
from backbones.openmmlab.distributions import openmmlabs_own

COMMAND = "pip install 'dense-backbones[openmmlab]'"
# as they are imported
MODULES = (
    *('mmengine', 'mmcv', 'mmdet', 'mmseg', 'cv2', 'torchvision', 'numpy', 'matplotlib', 'PIL'),
    *('defusedxml', 'faster_coco_eval', 'pycocotools', 'sklearn', 'supervision', 'yaml'),
)


class MissingExtraError(UserError, ImportError):
    """A part of this project needs packages that are not installed."""


def missing_extra(what: str, modules: list[str]) -> MissingExtraError:
    """The error of a part that needs `modules`, with the command that installs them."""
    where = ''
    if own := openmmlabs_own():
        where = f' in another environment: {", ".join(own)} here would be overwritten'
    return MissingExtraError(
        f'{what} needs {", ".join(modules)}, not installed here; run {COMMAND}{where}'
    )


def require_extra(what: str) -> None:
    """Check that the extra is installed.

    Raises:
        MissingExtraError: some of it is not.
    """
    if modules := [name for name in MODULES if find_spec(name) is None]:
        raise missing_extra(what, modules)
