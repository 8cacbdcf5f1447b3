"""Five published backbones as PyTorch modules, ready for MMDetection and MMSegmentation.

    >>> import torch, backbones
    >>> model = backbones.create('cswin_t', pretrained=True).eval()  # downloads the authors' file
    >>> maps = model(torch.randn(1, 3, 480, 640))  # RGB, ImageNet mean and deviation
    >>> [tuple(m.shape) for m in maps]
    [(1, 64, 120, 160), (1, 128, 60, 80), (1, 256, 30, 40), (1, 512, 15, 20)]
    >>> model.channels, model.strides
    ((64, 128, 256, 512), (4, 8, 16, 32))

`list_backbones()` returns the names of all variants, `variant(name)` describes one, and
`create(name)` builds one. `CSWin`, `CloFormer`, `DilateFormer`, `MogaNet` and `VOLO` are the
classes, and `Pyramid` is their base class. The decorator `register` adds your own class, with a
`Variant` for each row of its table. `explain(model)` prints which parts of a model run a fast
form, and why; `plain()`, in a `with`, turns fast forms off. `create('timm:NAME')` builds a
`TimmPyramid` from any timm model, and `create('hf:OWNER/REPO')` an `HfPyramid` from any
transformers backbone; both are `AdaptedPyramid`s with the same four levels. Errors that you can
fix are `UserError`s, whose message says how.

The core needs only PyTorch. If MMEngine is installed, importing the package also registers the
classes for the configs of MMDetection and MMSegmentation. With the extra, `pip install
'dense-backbones[openmmlab]'`, you can also use `swap_backbone(cfg, name)`, which puts a backbone
into any config; `Predictor(config, checkpoint)`, which predicts on your own images; and
`paste(masks, boxes, size)`, which pastes the masks of an exported model into images.
`config_file(name)` finds a config that comes with the package. docs/api.md describes all of them.
All other names are private and may change without notice.

The package can also be imported without PyTorch. `Predictor(file)` then predicts with a file from
`tools/export.py` (docs/deploy.md), and the other names raise an error.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from backbones.errors import MissingOperatorError, UserError
from backbones.openmmlab.extra import missing_extra, warn_of_doubles
from backbones.package_files import config_file

__version__ = '0.2.0'
__all__ = [
    'BACKBONES',
    'VOLO',
    'AdaptedPyramid',
    'CSWin',
    'CloFormer',
    'DilateFormer',
    'HfPyramid',
    'MogaNet',
    'Pyramid',
    'TimmPyramid',
    'UserError',
    'Variant',
    'config_file',
    'create',
    'explain',
    'list_backbones',
    'plain',
    'register',
    'variant',
]
_ON_FIRST_USE = {  # name: its module
    'Predictor': 'backbones.inference',
    'paste': 'backbones.inference.pasting',
    'swap_backbone': 'backbones.openmmlab.replace_backbone',
}
try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != 'torch':
        raise
    _OF_TORCH = {*__all__} - {'UserError', 'config_file'}
    __all__ = ['Predictor', 'UserError', 'config_file', 'paste']
else:
    _OF_TORCH = set()
    warn_of_doubles()  # before the imports that mixed versions may break

    from backbones.adapted.hf_pyramid import HfPyramid
    from backbones.adapted.pyramid import AdaptedPyramid
    from backbones.adapted.timm_pyramid import TimmPyramid
    from backbones.adapted.variants import LOOK_UP
    from backbones.cloformer import CloFormer
    from backbones.cswin import CSWin
    from backbones.dilateformer import DilateFormer
    from backbones.factory import create
    from backbones.forms import explain
    from backbones.moganet import MogaNet
    from backbones.openmmlab.register import join
    from backbones.ops.dispatch import plain
    from backbones.pyramid import Pyramid
    from backbones.registry import BACKBONES, SCHEMES, list_backbones, register, variant
    from backbones.variants import Variant
    from backbones.volo import VOLO

    SCHEMES.update(LOOK_UP)
    join()

    if find_spec('mmengine'):
        __all__ += list(_ON_FIRST_USE)


if TYPE_CHECKING:  # so that checkers know these names, and no others
    from backbones.inference import Predictor as Predictor
    from backbones.inference.pasting import paste as paste
    from backbones.openmmlab.replace_backbone import swap_backbone as swap_backbone
else:

    def __getattr__(name: str) -> object:
        if name not in _ON_FIRST_USE:
            if name in _OF_TORCH:
                raise MissingOperatorError(f'{__name__}.{name} needs PyTorch: pip install torch')
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        try:
            return getattr(import_module(_ON_FIRST_USE[name]), name)
        except ModuleNotFoundError as error:
            if (error.name or '').split('.')[0] == __name__:
                raise
            raise missing_extra(f'{__name__}.{name}', [str(error.name)]) from error


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith('__'))]
