"""Detecting whatever could notice that a part's layers are not called one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.nn.modules import module as hooks

Class = TypeVar('Class', bound=type)


def _private(path: str, default: Callable[[], Any]) -> Callable[[], Any]:
    """Return a private function of PyTorch, or `default` if the release lacks it."""
    found: Any = torch._C
    for name in path.split('.'):
        found = getattr(found, name, None)
    return found or default


_dispatch_modes = _private('_len_torch_dispatch_stack', int)
_function_modes = _private('_len_torch_function_stack', int)
transform = _private('_functorch.peek_interpreter_stack', lambda: None)
_GLOBAL_HOOKS = [
    getattr(hooks, f'_global_{name}_hooks', {})
    for name in ('forward', 'forward_pre', 'backward', 'backward_pre')
]
_LAYERS: set[type] = {
    *(nn.AvgPool2d, nn.BatchNorm2d, nn.Conv2d, nn.ConvTranspose2d, nn.GELU, nn.Identity),
    *(nn.Linear, nn.MaxPool2d, nn.ReLU, nn.SiLU),
}
_CONTAINERS = frozenset((nn.ModuleDict, nn.ModuleList))  # they have no forward of their own
ORDINARY_TENSORS = frozenset((Tensor, nn.Parameter, type(None)))


def watcher() -> str | None:
    """Name an active part of PyTorch that could notice which operators run, None for none."""
    if _dispatch_modes():
        return 'a TorchDispatchMode'
    if transform() is not None:
        return 'a torch.func transform'
    if getattr(forward_ad, '_current_level', -1) >= 0:
        return 'forward-mode differentiation'
    if torch.jit.is_tracing():
        return 'torch.jit.trace or an exporter'
    if _function_modes() and _watching_functions():
        return 'a TorchFunctionMode'
    for kind in _GLOBAL_HOOKS:
        if kind:
            return 'a global module hook'
    return None


def _watching_functions() -> bool:
    """Return whether a function mode other than that of `torch.device` is active."""
    from torch.overrides import _get_current_function_mode_stack
    from torch.utils._device import DeviceContext

    return any(not isinstance(m, DeviceContext) for m in _get_current_function_mode_stack())


def ordinary(cls: Class) -> Class:
    """Count a layer class of this project among the ordinary ones; a decorator."""
    _LAYERS.add(cls)
    return cls


def obstacle(module: nn.Module) -> str | None:
    """Name the first child that would notice that it is not called, and why; None if none would.

    It runs at every call, so it is written for speed.
    """
    for name, child in module._modules.items():
        kind, state = type(child), child.__dict__
        if kind in _LAYERS:
            for parameter in state['_parameters'].values():
                if type(parameter) not in ORDINARY_TENSORS:
                    return f'{name} has a parameter of type {type(parameter).__name__}'
            if kind is nn.Conv2d and not _is_ordinary(state):
                return f'{name} has an unsupported stride, padding or dilation'
        elif kind not in _CONTAINERS:
            return f'{name} is a {kind.__module__}.{kind.__qualname__}'
        elif found := obstacle(child):
            return f'{name}.{found}'
        if (
            state['_forward_hooks']
            or state['_forward_pre_hooks']
            or state['_backward_hooks']
            or state['_backward_pre_hooks']
        ):
            return f'{name} has hooks'
        if 'forward' in state or state.get('_compiled_call_impl') is not None:
            return f'{name} has its own forward'
    return None


def _is_ordinary(conv: dict[str, Any]) -> bool:
    """Return whether the operators support a convolution with these attributes.

    It is 1x1, or dense, or depthwise with padding that keeps the size of its input.
    """
    kernel, padding, dilation = conv['kernel_size'], conv['padding'], conv['dilation']
    if conv['padding_mode'] != 'zeros':
        return False
    if conv['groups'] == 1:
        if kernel == (1, 1) and (conv['stride'] != (1, 1) or padding != (0, 0)):
            return False
        return dilation == (1, 1) and not isinstance(padding, str)
    side, reach = kernel[0], kernel[0] // 2 * dilation[0]
    depthwise = conv['groups'] == conv['in_channels'] == conv['out_channels']
    return depthwise and kernel == (side, side) and padding == (reach, reach) and side % 2 == 1
