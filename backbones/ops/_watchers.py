"""Detecting whatever could notice that a part's layers are not called one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.nn.modules import module as hooks


def _private(path: str, default: Callable[..., Any]) -> Callable[..., Any]:
    """Return a private function of PyTorch, or `default` if the release lacks it."""
    found: Any = torch._C
    for name in path.split('.'):
        found = getattr(found, name, None)
    return found or default


_dispatch_modes = _private('_len_torch_dispatch_stack', int)
_function_modes = _private('_len_torch_function_stack', int)
transform = _private('_functorch.peek_interpreter_stack', lambda: None)
is_batched = _private('_functorch.is_legacy_batchedtensor', lambda x: False)
_GLOBAL_HOOKS = [
    getattr(hooks, f'_global_{name}_hooks', {})
    for name in ('forward', 'forward_pre', 'backward', 'backward_pre')
]
# attributes that operators rely on; sizes are read from the weights
_ATTRIBUTES = (
    *('kernel_size', 'stride', 'padding', 'dilation', 'groups', 'padding_mode', 'output_padding'),
    'approximate',
)
# functions that operation counters and quantisers replace for all modules at once
_FUNCTIONS = [
    (owner, vars(owner), name, vars(owner)[name])
    for owner, names in {
        nn.Module: ('__call__',),
        nn.Conv2d: ('forward', '_conv_forward'),
        nn.ConvTranspose2d: ('forward',),
        nn.Linear: ('forward',),
        nn.GELU: ('forward',),
        nn.ReLU: ('forward',),
        nn.SiLU: ('forward',),
        functional: ('conv2d', 'conv_transpose2d', 'linear', 'gelu', 'relu', 'silu'),
    }.items()
    for name in names
]
ORDINARY_TENSORS = frozenset((Tensor, nn.Parameter, type(None)))


def watcher() -> str | None:
    """Name an active part of PyTorch that could notice which operators run; None if none is."""
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
    for owner, members, name, function in _FUNCTIONS:
        if members[name] is not function:
            return f'a replacement of {owner.__name__}.{name}'
    return None


def _watching_functions() -> bool:
    """Return whether a function mode other than that of `torch.device` is active."""
    from torch.overrides import _get_current_function_mode_stack
    from torch.utils._device import DeviceContext

    return any(not isinstance(m, DeviceContext) for m in _get_current_function_mode_stack())


def is_plain(layer: nn.Module | None, kind: type[nn.Module]) -> bool:
    """Return whether a layer computes what PyTorch's class does; a subclass may not."""
    names = ('forward', '_conv_forward')
    own = all(getattr(type(layer), n, None) is getattr(kind, n, None) for n in names)
    return own and isinstance(layer, kind)


def remember_layers(module: nn.Module) -> None:
    """Record the layers of a dispatched module; this is the last statement of its `__init__`.

    Its fast form is written for these: `obstacle` finds what was replaced or changed since. A
    subclass can change them and record them anew only with a `fast_forward` of its own.
    """
    if 'layers_as_built' not in vars(module) or 'fast_forward' in vars(type(module)):
        module.layers_as_built = _layers(module)


def _layers(module: nn.Module) -> dict[str, tuple]:
    """Return the type, the attributes and the layers of each child."""
    return {
        name: (
            type(child),
            tuple((a, vars(child)[a]) for a in _ATTRIBUTES if a in vars(child)),
            _layers(child),
        )
        for name, child in module._modules.items()
    }


def obstacle(module: nn.Module, name: str = '') -> str | None:
    """Describe which layer would notice that it is not called, and why; None if none would.

    It runs at every call, so it is written for speed.

    Args:
        name: the module's name, with which the sentence begins.
    """
    state = module.__dict__
    found = _obstacle(state, state.get('layers_as_built', {}))
    return None if found is None else ' '.join((name + found[0], found[1])).lstrip('. ')


def _obstacle(state: dict[str, Any], built: dict[str, tuple]) -> tuple[str, str] | None:
    """Return the layer's path, with a dot before each name, and what is unusual about it."""
    for parameter in state['_parameters'].values():
        if type(parameter) not in ORDINARY_TENSORS:
            return '', f'has a parameter of type {type(parameter).__name__}'
    children = state['_modules']
    if len(children) != len(built):
        return '', f'has {len(children)} layers instead of {len(built)}'
    for name, (kind, attributes, layers) in built.items():
        child = children.get(name)
        if type(child) is not kind:
            now = f'{type(child).__module__}.{type(child).__qualname__}'
            return f'.{name}', f'is a {now} instead of a {kind.__name__}'
        inside = child.__dict__
        for attribute, value in attributes:
            if inside[attribute] != value:
                return f'.{name}', f'has {attribute} {inside[attribute]!r} instead of {value!r}'
        if (
            inside['_forward_hooks']
            or inside['_forward_pre_hooks']
            or inside['_backward_hooks']
            or inside['_backward_pre_hooks']
        ):
            return f'.{name}', 'has hooks'
        if (
            'forward' in inside
            or '_conv_forward' in inside
            or inside.get('_compiled_call_impl') is not None
        ):
            return f'.{name}', 'has its own forward'
        if found := _obstacle(inside, layers):
            return f'.{name}{found[0]}', found[1]
    return None
