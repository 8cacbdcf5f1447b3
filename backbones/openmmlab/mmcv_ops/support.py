"""Shared parts of the replacements: registration for mmcv, torchvision's operators, precision."""

import functools
import importlib
import importlib.metadata
import logging
import types
from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor

from backbones.errors import MissingOperatorError

STANDING_IN = (
    'This mmcv has no compiled operators: torchvision and PyTorch stand in for nearly '
    'all that MMDetection and MMSegmentation use.'
)
COMPILING = 'see README.md, section "mmcv without a compiler", for the command'
TORCHVISION_OPERATORS = (
    'nms',
    'roi_align',
    '_roi_align_backward',
    'deform_conv2d',
    '_deform_conv2d_backward',
)
OPERATORS: dict[str, Callable] = {  # by the names that mmcv looks up; `operator` adds to it
    'get_compiler_version': lambda: 'n/a',  # for mmcv's environment report
    'get_compiling_cuda_version': lambda: 'n/a',
}


def operator(function: Callable) -> Callable:
    """Offer `function` to mmcv; the first call from there logs that a stand-in is in use."""

    @functools.wraps(function)
    def logged(*args: object, **kwargs: object) -> object:
        announce()
        return function(*args, **kwargs)

    OPERATORS[function.__name__] = logged
    return function


@functools.cache
def announce() -> None:
    logging.getLogger('backbones').info(STANDING_IN)


def needs_compiled(what: str, *args: object, **kwargs: object) -> NoReturn:
    raise MissingOperatorError(
        f'{what} needs mmcv with compiled operators, which pip does not build: {COMPILING}. '
        f'{STANDING_IN}'
    )


def widen(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Convert to `dtype`, by default the tensor's own, but at least to float32."""
    return x.to(torch.promote_types(dtype or x.dtype, torch.float32))


def gradients(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], grad: Tensor) -> tuple:
    """Return the gradients of all inputs by recomputing `function`, as mmcv kept no graph."""
    with torch.enable_grad():
        inputs = tuple(x.detach().requires_grad_() for x in inputs)
        return torch.autograd.grad(function(*inputs), inputs, grad)


def torchvision() -> types.ModuleType:
    """Import torchvision and return its operators.

    Raises:
        ImportError: it is missing or built for another torch, such as a CPU-only one.
    """
    if problem := _torchvision_problem():
        raise MissingOperatorError(problem)
    return torch.ops.torchvision


@functools.cache  # a second import would fail with a less helpful error
def _torchvision_problem() -> str:
    try:
        importlib.import_module('torchvision')
        _ = [getattr(torch.ops.torchvision, name) for name in TORCHVISION_OPERATORS]
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        return (
            f'torchvision {_version("torchvision")} does not match torch {torch.__version__} '
            f'({error}). Install both from the same index: pip uninstall -y torch torchvision && '
            f'pip install torch=={torch.__version__.split("+")[0]} torchvision, with the '
            '--index-url that torch was installed with, if any.'
        )
    return ''


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return '(not installed)'
