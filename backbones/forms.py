"""A readable account of which form each part of a model uses, and why."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from backbones.errors import ArgumentError
from backbones.ops import dispatch
from backbones.ops._watchers import obstacle, watcher
from backbones.ops.dispatch import PLAIN, TRITON

COSTS = Path(__file__).parent / 'ops/costs.json'  # written by benchmarks/forms.py


def explain(model: nn.Module) -> None:
    """Print which form each kind of module uses now and why, and what the forms cost on GPUs.

    The form depends on the parameters' device and dtype, autocast, whether gradients are enabled,
    and the hooks, adapters and PyTorch modes that are active at the call.

    Raises:
        ArgumentError: `model` is not a module.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(f'{model!r} is not a module; build one with backbones.create(NAME)')
    print(explanation(model))


def explanation(model: nn.Module) -> str:
    """Return what `explain` prints."""
    parts = Counter(_parts(model))
    if not parts:
        return f'{type(model).__name__} has no part with a fast form'
    rows = [(kind, str(count), form, why) for (kind, form, why), count in parts.items()]
    operators = {name for m in model.modules() for name in _operators(m)}
    costs = [r for r in costs_of_forms() if r['operator'] in operators]
    counted = [
        tuple(str(value) for value in (*r.values(), taken(r['operator'], r['form']))) for r in costs
    ]
    parts_used = _aligned([('part', 'count', 'form', 'why'), *rows])
    if not counted:
        return '\n'.join(parts_used)
    return '\n'.join(
        (
            *parts_used,
            '',
            'Counted, not measured: MB that one part moves and keeps in training on a GPU, in the',
            'first stage, for an image of 800x1280 pixels in bfloat16.',
            *_aligned([('operator', 'form', 'forward', 'backward', 'kept', 'taken'), *counted]),
        )
    )


def _operators(module: nn.Module) -> tuple[str, ...]:
    forward = type(module).forward
    return (*getattr(forward, 'operators', ()), *getattr(forward, 'calls', ()))


def _parts(model: nn.Module) -> Iterator[tuple[str, str, str]]:
    """Yield kind, form and reason for each module with a fast form, and for what it calls."""
    owner: nn.Module | None = None
    for name, module in model.named_modules():
        if hasattr(module, 'forward_levels'):
            owner = module
        forward = type(module).forward
        if not _operators(module):
            continue
        x = _example(module)
        with nullcontext() if owner is None else dispatch.mode_of(owner):
            yield (type(module).__name__, *_choice(module, name, x, forward.operators))
            for operator in forward.calls:
                yield operator, *_choice(nn.Identity(), name, x, (operator,))


def _example(module: nn.Module) -> Tensor:
    """Return a tensor with the device and dtype of a module's parameters."""
    p = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    return torch.empty(1, dtype=p.dtype, device=p.device)


def _choice(module: nn.Module, name: str, x: Tensor, operators: tuple[str, ...]) -> tuple[str, str]:
    """Return form and reason."""
    if not dispatch.is_fast():
        return PLAIN, 'fast forms are turned off'
    if active := watcher():
        return PLAIN, f'{active} is active'
    if found := obstacle(module, name):
        return PLAIN, found
    forms = {operator: dispatch.form(operator, x) for operator in operators}
    training = 'training' if torch.is_grad_enabled() else 'inference'
    where = f'{training} on {x.device.type} in {str(dispatch.computed_in(x)).split(".")[1]}'
    if set(forms.values()) == {PLAIN}:
        return PLAIN, where
    if len(forms) == 1:
        return next(iter(forms.values())), where
    return ', '.join(f'{operator} {form}' for operator, form in forms.items()), where


def costs_of_forms() -> list[dict]:
    """Read each form's `operator`, `form`, and MB `forward`, `backward` and `kept`; see COSTS."""
    return json.loads(COSTS.read_text())


def taken(operator: str, form: str) -> str:
    """Return the preferences for which a form runs on GPUs, '-' if there is none."""
    row = dispatch.TABLE[operator]
    columns = dict(inference=row.gpu_inference, time=row.gpu_training, memory=row.gpu_memory)
    if form == 'triton' and operator in TRITON:
        return 'DENSE_BACKBONES_TRITON=1'
    return ', '.join(name for name, taken in columns.items() if taken == form) or '-'


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        yield '  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
