"""torchvision in place of mmcv's compiled operators, when this mmcv has none.

pip builds mmcv where torch is absent, so the usual installation lacks the C++ module `mmcv._ext`;
`mmcv.ops`, and with it `mmdet.models`, then fails to import. The methods shipped here need only
three operators of it: torchvision has compiled ones for `nms` and `roi_align`, bit-identical to
mmcv's on CPU, and the sigmoid focal loss is a few lines of PyTorch.
"""

import ctypes
import functools
import importlib
import importlib.metadata
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from typing import NoReturn

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from backbones.errors import MissingOperatorError

NAME = 'mmcv._ext'
COMPILING = 'README.md, section "mmcv without a compiler", has the command'
ABSENT = 'mmcv is not installed.'
COMPILED = 'mmcv uses its own compiled operators.'
STANDING_IN = (
    'This mmcv has no compiled operators: torchvision stands in for nms and roi_align, '
    'PyTorch for the sigmoid focal loss.'
)
# what mmdet modules define for themselves, only to raise, if mmcv.ops cannot be imported
FALLBACKS = ('batched_nms', 'nms', 'roi_align', '_sigmoid_focal_loss')
TORCHVISION_OPERATORS = ('nms', 'roi_align', '_roi_align_backward')
OPERATORS: dict[str, Callable] = {  # what mmcv asks for by name; `_operator` adds to it
    'get_compiler_version': lambda: 'n/a',  # for mmcv's report of the environment
    'get_compiling_cuda_version': lambda: 'n/a',
}


def install() -> str:
    """Put the stand-in for `mmcv._ext` in place, if mmcv has no compiled operators and needs one.

    Imports neither mmcv nor torchvision, unless parts of mmdet were imported before and had to go
    without the operators: those get them now.

    Returns:
        One sentence: which implementation is in use.
    """
    if NAME in sys.modules:
        return STANDING_IN if isinstance(sys.modules[NAME], StandIn) else COMPILED
    mmcv = find_spec('mmcv')
    if mmcv is None:
        return ABSENT
    if PathFinder.find_spec(NAME, mmcv.submodule_search_locations):
        return COMPILED
    sys.modules[NAME] = StandIn()
    _replace_fallbacks()
    return STANDING_IN


class StandIn(types.ModuleType):
    """The module `mmcv._ext`: our operators, and for every other name a function that raises.

    The first access to an operator checks torchvision, so that importing `mmcv.ops` fails early.

    Raises:
        ImportError: torchvision is missing or does not fit torch.
    """

    def __init__(self) -> None:
        super().__init__(NAME, STANDING_IN)
        self.__spec__ = ModuleSpec(NAME, None, origin=__file__)

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('_'):  # Python's own questions, such as __path__; no operator is private
            raise AttributeError(f'module {NAME!r} has no attribute {name!r}')
        _torchvision()
        return OPERATORS.get(name, functools.partial(_needs_compiled, name))


def _operator(function: Callable) -> Callable:
    """Offer `function` to mmcv; there its first call logs, once, that a stand-in is in use."""

    @functools.wraps(function)
    def logged(*args: object, **kwargs: object) -> object:
        _announce()
        return function(*args, **kwargs)

    OPERATORS[function.__name__] = logged
    return function


@_operator
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Select the boxes that overlap no better one.

    Args:
        boxes: (N, 4) corners x1, y1, x2, y2, in pixels.
        scores: (N,).
        iou_threshold: a box goes if its IoU with a kept, better one is above this.
        offset: added to widths and heights; 0, since torchvision knows no other.

    Returns:
        (kept,) indices, best score first.

    Raises:
        ImportError: offset is 1, the convention of mmdet 1.x.
    """
    if offset:
        _needs_compiled(f'nms with offset={offset}')
    dtype = torch.promote_types(boxes.dtype, scores.dtype)
    threshold = ctypes.c_float(iou_threshold).value  # torchvision's is a double, mmcv's a float32
    # equal scores come in the order of mmcv's sort, which torchvision's, being stable, leaves alone
    scores, order = scores.sort(descending=True)
    return order[_torchvision().nms(_widen(boxes[order], dtype), _widen(scores, dtype), threshold)]


@_operator
def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average bilinear samples of each cell of each region, into `output`.

    Half precision is widened to float32 for the computation, as torchvision does under autocast.

    Args:
        input: (B, C, H, W).
        rois: (N, 5) image index and corners x1, y1, x2, y2, in pixels.
        output: (N, C, aligned_height, aligned_width), overwritten.
        argmax_y, argmax_x: of 'max' pooling; not used.
        spatial_scale: cells of `input` per pixel.
        sampling_ratio: samples per cell and axis; 0 takes one per cell of `input`, rounded up.
        pool_mode: 1, 'avg'.
        aligned: shift by half a cell, so that cell centres are where they belong.

    Raises:
        ImportError: pool_mode is 0, 'max'.

    Source: arXiv:1703.06870, Sec. 3.
    """
    _check_pool_mode(pool_mode)
    size = (aligned_height, aligned_width)
    pooled = _torchvision().roi_align(
        _widen(input), _widen(rois, input.dtype), spatial_scale, *size, sampling_ratio, aligned
    )
    output.copy_(pooled)


@_operator
def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradient with respect to the input of `roi_align_forward` to `grad_input`.

    See `roi_align_forward`. On CUDA, an error under `torch.use_deterministic_algorithms(True)`.
    """
    _check_pool_mode(pool_mode)
    grad = _torchvision()._roi_align_backward(
        _widen(grad_output),
        _widen(rois, grad_output.dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input += grad


@_operator
def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss -a (1 - q)^gamma log q of each logit x to `output`.

    q, the probability of what is true, is sigmoid(x) at the target class and sigmoid(-x) elsewhere;
    a is alpha and 1 - alpha. Through log-sigmoid the loss stays right for logits beyond +-16, where
    mmcv's kernel takes the logarithm of a 1 - p that is rounded to 0.

    Args:
        input: (N, C) logits.
        target: (N,) class indices; C is the background.
        weight: (C,) factor per target class, then without background; or empty.
        output: (N, C), overwritten.

    Source: arXiv:1708.02002, Eq. 5.
    """
    z, _, factor = _focal_parts(input, target, weight, alpha)
    output.copy_(-factor * torch.sigmoid(-z) ** gamma * F.logsigmoid(z))


@_operator
def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each loss by its logit. See `sigmoid_focal_loss_forward`."""
    z, sign, factor = _focal_parts(input, target, weight, alpha)
    miss = torch.sigmoid(-z)  # 1 - q
    grad_input.copy_(
        -factor * sign * miss**gamma * (miss - gamma * torch.sigmoid(z) * F.logsigmoid(z))
    )


def _focal_parts(
    input: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Logit of what is true, its sign against `input`, and a times the weight; (N, C) each."""
    x = _widen(input)
    hit = target[:, None] == torch.arange(x.shape[1], device=x.device)  # (N, C)
    sign = hit.to(x.dtype) * 2 - 1
    factor = 0.5 + sign * (alpha - 0.5)  # alpha or 1 - alpha
    if weight.numel():
        factor = factor * weight[target][:, None]
    return sign * x, sign, factor


def _check_pool_mode(pool_mode: int) -> None:
    if pool_mode != 1:
        _needs_compiled("roi_align with pool_mode='max'")


def _widen(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Convert to `dtype`, by default the tensor's own, but at least to float32."""
    return x.to(torch.promote_types(dtype or x.dtype, torch.float32))


def _needs_compiled(what: str, *args: object, **kwargs: object) -> NoReturn:
    raise MissingOperatorError(
        f'{what} needs mmcv with compiled operators, which pip does not build: {COMPILING}. '
        f'{STANDING_IN}'
    )


@functools.cache
def _announce() -> None:
    print_log(STANDING_IN, logger='current')


def _torchvision() -> types.ModuleType:
    """Import torchvision and return its operators.

    Raises:
        ImportError: it is missing or built for another torch, as beside a CPU-only torch.
    """
    if problem := _torchvision_problem():
        raise MissingOperatorError(problem)
    return torch.ops.torchvision


@functools.cache  # a second import would fail with another, less telling error
def _torchvision_problem() -> str:
    try:
        importlib.import_module('torchvision')
        _ = [getattr(torch.ops.torchvision, name) for name in TORCHVISION_OPERATORS]
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        return (
            f'torchvision {_version("torchvision")} does not fit torch {torch.__version__} '
            f'({error}). Install both from one index: pip uninstall -y torch torchvision && '
            f'pip install torch=={torch.__version__.split("+")[0]} torchvision, with the '
            '--index-url that torch was installed with, if any.'
        )
    return ''


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return '(not installed)'


def _replace_fallbacks() -> None:
    """Give mmdet modules that were imported without operators the real functions."""
    for name, module in list(sys.modules.items()):
        for operator in FALLBACKS if name.startswith('mmdet.') else ():
            if getattr(vars(module).get(operator), '__module__', None) == name:
                ops = importlib.import_module('mmcv.ops')
                setattr(module, operator, getattr(ops, operator.lstrip('_')))
