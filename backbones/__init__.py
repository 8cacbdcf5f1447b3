"""Five published backbones as PyTorch modules, and as parts of MMDetection and MMSegmentation.

    >>> import torch, backbones
    >>> model = backbones.create('cswin_t', pretrained=True).eval()  # downloads the authors' file
    >>> maps = model(torch.randn(1, 3, 480, 640))  # RGB, ImageNet mean and deviation
    >>> [tuple(m.shape) for m in maps]
    [(1, 64, 120, 160), (1, 128, 60, 80), (1, 256, 30, 40), (1, 512, 15, 20)]
    >>> model.channels, model.strides
    ((64, 128, 256, 512), (4, 8, 16, 32))

`list_backbones()` has the names, `variant(name)` what is known about one; `create` builds a model.
`CSWin`, `CloFormer`, `DilateFormer`, `MogaNet` and `VOLO` are the classes, `Pyramid` what they have
in common, and `register` a decorator that adds one of your own, with a `Variant` for each row of
its table. `explain(model)` prints which of its parts run by a faster form and why; a `with` block
of `plain()` turns those off. `create('timm:NAME')` builds a `TimmPyramid`, any model of timm with
the same four levels. What a user can put right is a `UserError`, whose message says how.

This needs torch alone. Where MMEngine is installed, importing the package also makes the five known
to the configs of MMDetection and MMSegmentation. With the extra, `pip install
'dense-backbones[openmmlab]'`, there are `config_file(name)`, one of the configs that come with the
package; `swap_backbone(cfg, name)`, which puts a backbone into any config; `Predictor(config,
checkpoint)`, for predictions on your own images; and `paste(masks, boxes, size)`, for the masks of
an exported file. docs/api.md describes each. All other names are private: they change without
notice.
"""

from importlib import import_module
from importlib.util import find_spec

from backbones.openmmlab.distributions import warn_of_doubles

warn_of_doubles()  # before the imports that a mixture of two versions may break

from backbones.cloformer import CloFormer
from backbones.cswin import CSWin
from backbones.dilateformer import DilateFormer
from backbones.errors import UserError
from backbones.forms import explain
from backbones.moganet import MogaNet
from backbones.openmmlab.register import join
from backbones.ops.dispatch import plain
from backbones.package_files import config_file
from backbones.pyramid import Pyramid
from backbones.registry import BACKBONES, create, list_backbones, register, variant
from backbones.timm_pyramid import TimmPyramid
from backbones.variants import Variant
from backbones.volo import VOLO

join()

__all__ = [
    'BACKBONES',
    'VOLO',
    'CSWin',
    'CloFormer',
    'DilateFormer',
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
__version__ = '0.1.0'
_OF_THE_EXTRA = {  # name: where it is; imported when it is asked for
    'Predictor': 'backbones.inference',
    'paste': 'backbones.deploy.compare',
    'swap_backbone': 'backbones.openmmlab.replace_backbone',
}
if find_spec('mmengine'):
    __all__ += list(_OF_THE_EXTRA)


def __getattr__(name: str) -> object:
    if name not in _OF_THE_EXTRA:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    try:
        return getattr(import_module(_OF_THE_EXTRA[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or '').split('.')[0] == __name__:
            raise
        from backbones.openmmlab.extra import missing_extra

        raise missing_extra(f'{__name__}.{name}', [str(error.name)]) from error


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith('__'))]
