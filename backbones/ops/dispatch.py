"""The only place that decides which form of an operator or a module runs.

A module's `forward` is the plain program: it calls its children, as everything that works on
modules expects. Its `fast_forward` computes the same numbers from their parameters and runs only
where nobody could notice: the table has a form for device and dtype, every child is an ordinary
layer that is neither watched nor replaced, and no transform, tracer or mode of PyTorch is active.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.errors import UserError, did_you_mean
from backbones.ops._watchers import ORDINARY_TENSORS, is_batched, obstacle, transform, watcher

Layer = tuple[Tensor, Tensor]  # weight and bias of a convolution or a linear layer

PLAIN = 'plain'
LINEAR_TYPES = torch.float32, torch.bfloat16
CPU_TYPES = (torch.float32, torch.float64, torch.bfloat16)
GPU_TYPES = (*CPU_TYPES, torch.float16)


class Row(NamedTuple):
    """The forms of an operator by where it runs; the operator's docstring describes them."""

    inference: str  # on CPUs
    training: str  # on CPUs, the form that was measured to be fastest
    gpu_inference: str  # on GPUs, the form with the least counted traffic; see costs.json
    gpu_training: str
    gpu_memory: str  # in training, if the model prefers memory: the form that stores least
    traced: str  # when compiled or exported
    types: tuple[torch.dtype, ...] = CPU_TYPES  # on CPUs


TABLE = {
    'attention': Row('sdpa', 'sdpa', 'sdpa', 'sdpa', 'sdpa', 'sdpa'),
    'channel_aggregation': Row('strips', 'recompute', 'folded', 'folded', 'recompute', PLAIN),
    'context_gate': Row('strips', 'recompute', 'folded', 'folded', 'recompute', PLAIN),
    'conv_mlp': Row('strips', 'recompute', PLAIN, PLAIN, 'recompute', PLAIN),
    'cross_shaped_attention': Row('stripes', 'stripes', PLAIN, 'stripes', 'stripes', PLAIN),
    'decompose_context': Row('folded', 'folded', 'folded', 'folded', 'folded', PLAIN),
    'dense_conv': Row('products', 'products', PLAIN, PLAIN, PLAIN, PLAIN),
    'depthwise_conv': Row('split', 'split', PLAIN, PLAIN, PLAIN, PLAIN),
    'dilated_attention': Row('strips', 'strips', PLAIN, PLAIN, 'strips', 'shift'),
    'gated_product': Row(PLAIN, 'recompute', PLAIN, PLAIN, 'recompute', PLAIN),
    'linear': Row('onednn', 'onednn', PLAIN, PLAIN, PLAIN, PLAIN, LINEAR_TYPES),
    'mlp': Row('strips', 'recompute', PLAIN, PLAIN, 'recompute', PLAIN),
    'outlook_attention': Row('strips', 'strips', 'strips', PLAIN, 'strips', 'interleave'),
    'pointwise': Row('linear', 'linear', PLAIN, PLAIN, PLAIN, PLAIN),
}
TRITON = ('dilated_attention', 'outlook_attention')  # never timed on a GPU: only on request
WANTS_TRITON = os.environ.get('DENSE_BACKBONES_TRITON', '0')
if WANTS_TRITON not in ('0', '1'):
    raise UserError(
        f'DENSE_BACKBONES_TRITON is {WANTS_TRITON!r}; allowed: 1 (use the Triton kernels of '
        'dilated and outlook attention on GPUs) and 0 (do not, the default)'
    )


class Mode(NamedTuple):
    """How forms are chosen in this thread."""

    fast: bool = True
    prefer: str = 'time'
    as_if_on: str | None = None  # a device type; count what runs there, even if watched


PREFERENCES = ('time', 'memory')
DEFAULT = Mode()
_mode: ContextVar[Mode] = ContextVar('mode', default=DEFAULT)


def current_mode() -> Mode:
    """Return the current mode; compilers cannot read it and always get the default."""
    return DEFAULT if torch.compiler.is_compiling() else _mode.get()


@contextlib.contextmanager
def mode(**changes: Any) -> Iterator[None]:
    """Change the mode inside the `with` block, in this thread. See `Mode`."""
    with in_mode(_mode.get()._replace(**changes)):
        yield


@contextlib.contextmanager
def in_mode(settings: Mode) -> Iterator[None]:
    """Use a mode inside the `with` block, in this thread."""
    token = _mode.set(settings)
    try:
        yield
    finally:
        _mode.reset(token)


def plain() -> contextlib.AbstractContextManager[None]:
    """Run only plain forms inside the `with` block, in this thread.

    They follow the authors' code step by step, and can be differentiated twice.
    """
    return mode(fast=False)


def mode_of(model: Any) -> contextlib.AbstractContextManager[None]:
    """Choose forms by a `Pyramid`'s settings, except that `plain()` overrides them."""
    return mode(fast=model.fast and is_fast(), prefer=model.prefer)


def is_fast() -> bool:
    """Return whether fast forms are allowed in this thread."""
    return current_mode().fast


def check_preference(prefer: str) -> None:
    """Check a preference.

    Raises:
        UserError: it is neither 'time' nor 'memory'.
    """
    if prefer not in PREFERENCES:
        hint = did_you_mean(prefer, PREFERENCES)
        raise UserError(f'prefer is {prefer!r}; allowed: {", ".join(PREFERENCES)}{hint}')


def traced() -> bool:
    """Return whether `torch.compile` or an exporter records operators instead of running them."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def exported() -> bool:
    """Return whether an exporter records the operators for another library."""
    # PyTorch 2.11 also claims to be exporting while `torch.compile` records
    exporting = getattr(torch.compiler, 'is_exporting', bool)()
    return (exporting and not torch.compiler.is_dynamo_compiling()) or torch.jit.is_tracing()


def computed_in(x: Tensor) -> torch.dtype:
    """Return the dtype in which products of `x` are computed, considering autocast on CPUs."""
    if x.dtype is torch.float32 and torch.is_autocast_enabled('cpu'):
        return torch.get_autocast_dtype('cpu')
    return x.dtype


def form(operator: str, x: Tensor) -> str:
    """Look up an operator's current form for `x`, even if it is watched."""
    row, settings = TABLE[operator], current_mode()
    device = settings.as_if_on or x.device.type
    training = torch.is_grad_enabled()
    if device == 'cpu':
        column = row.training if training else row.inference
        return column if computed_in(x) in row.types else PLAIN
    if device != 'cuda' or x.dtype not in GPU_TYPES:
        return PLAIN
    if WANTS_TRITON == '1' and operator in TRITON:
        return 'triton'
    if not training:
        return row.gpu_inference
    return row.gpu_memory if settings.prefer == 'memory' else row.gpu_training


def choose(operator: str, *tensors: Tensor) -> str:
    """Look up the form of an operator without children; the plain one if it is watched.

    Compilers and exporters get the form that they record best.
    """
    if traced():
        return TABLE[operator].traced if current_mode().fast else PLAIN
    if _is_watched(*tensors):
        return PLAIN
    return form(operator, tensors[0])


def _is_watched(*tensors: Tensor) -> bool:
    settings = current_mode()
    if settings.as_if_on:
        return not settings.fast
    for x in tensors:
        if type(x) not in ORDINARY_TENSORS or not x.numel():
            return True
    return not settings.fast or watcher() is not None


def dispatched(
    *operators: str, calls: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a module's `fast_forward` replace its `forward` where nobody could notice.

    Args:
        operators: the operators in `TABLE` that `fast_forward` uses; it runs where any of them has
            a form other than the plain one.
        calls: operators without children that `forward` calls, for `explain`.
    """

    def decorate(forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def run(self: nn.Module, x: Tensor, *rest: Any) -> Any:
            if not torch.compiler.is_compiling() and is_fast_for(self, x, operators):
                return self.fast_forward(x, *rest)
            return forward(self, x, *rest)

        vars(run).update(operators=operators, calls=calls)
        return run

    return decorate


def is_fast_for(module: nn.Module, x: Tensor, operators: tuple[str, ...]) -> bool:
    """Return whether a dispatched module currently uses its `fast_forward` for `x`."""
    if _is_watched(x) or not has_form(operators, x):
        return False
    return current_mode().as_if_on is not None or obstacle(module) is None


def has_form(operators: tuple[str, ...], x: Tensor) -> bool:
    """Return whether any of the operators has a form for `x` other than the plain one."""
    for operator in operators:  # noqa: SIM110 - `any` is slow, and this runs at every call
        if form(operator, x) != PLAIN:
            return True
    return False


def pick(backend: str, forms: dict[str, Callable[..., Any]], auto: str) -> Callable[..., Any]:
    """Look up an operator's form.

    Args:
        backend: 'auto' or a name in `forms`.
        forms: functions by name.
        auto: the name that 'auto' now means.

    Raises:
        ValueError: the form is unknown.
    """
    name = auto if backend == 'auto' else backend
    if name not in forms:
        raise ValueError(f'backend is {name!r}; allowed: auto, {", ".join(forms)}')
    return forms[name]


def refuse_second_derivatives(x: Tensor) -> Tensor:
    """Reject second derivatives of a fast form of PyTorch that has none.

    Raises:
        UserError: in the backward pass; see `once_differentiable`.
    """
    if x.requires_grad and not traced():
        x.register_hook(_check_once)
    return x


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Reject what a fast form's backward pass cannot do when it is requested.

    Raises:
        UserError: the backward pass is recorded (`create_graph=True`), or runs for several
            gradients at once (`is_grads_batched=True`).
    """

    @functools.wraps(backward)
    def run(ctx: Any, *gradients: Any) -> Any:
        _check_once()
        if any(isinstance(g, Tensor) and is_batched(g) for g in gradients):
            raise UserError(_NEEDS_PLAIN.format('is_grads_batched=True needs batches of gradients'))
        return backward(ctx, *gradients)

    return run


def _check_once(*gradient: Tensor) -> None:
    if torch.is_grad_enabled():
        raise UserError(_NEEDS_PLAIN.format('create_graph=True needs derivatives of gradients'))


_NEEDS_PLAIN = (
    '{}, which fast forms do not have; run the forward pass inside `with backbones.plain():`, or '
    'build the backbone with create(..., fast=False)'
)


def like(x: Tensor, images: Tensor) -> Tensor:
    """Store a map in the memory layout of the images, channels_last or contiguous.

    Heads take views of maps, which need the usual layout.
    """
    if transform() is not None:  # vmap's tensors have no layout
        return x
    last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    return x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def to_fast_layout(x: Tensor) -> Tensor:
    """Store a (B, C, H, W) map in the layout that is fastest for convolutions, values unchanged.

    On CPUs, that is channels_last, which makes depthwise convolutions 2 to 8 times faster (32 to
    256 channels, oneDNN 3.10, AVX-512). Other devices and `plain()` leave the map unchanged.
    """
    if x.device.type != 'cpu' or not current_mode().fast or (not traced() and _is_watched(x)):
        return x
    return x.contiguous(memory_format=torch.channels_last)
