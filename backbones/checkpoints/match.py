"""Comparing a state dict with a model: names, shapes and values."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from backbones.errors import SHOWN
from backbones.registry import BACKBONES
from backbones.variants import Variant, type_of

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
TITLES = dict(
    missing='missing in the file',
    surplus='unknown to the model',
    shape='of another shape',
    values='with unusable values',
)
NEAR = 0.05  # share of a file's keys that may differ from the suggested variant


@dataclass(frozen=True)
class Fault:
    """A key that does not fit, and why.

    Args:
        kind: a key of `TITLES`.
        key: our name if it is missing in the file, otherwise the file's.
        found, expected: shapes, or words about the values; None if neither applies.
    """

    kind: str
    key: str
    found: tuple[int, ...] | str | None = None
    expected: tuple[int, ...] | str | None = None

    def __str__(self) -> str:
        if self.kind == 'shape':
            return f'{self.key} {self.found} (here {self.expected})'
        return f'{self.key}: {self.found}; {self.expected}' if self.kind == 'values' else self.key


@dataclass
class Match:
    """The outcome of `match`.

    Args:
        state: tensors by our names.
        dropped: the file's keys that are intentionally left out.
        faults: the keys that do not fit.
        resampled: (the file's key, its shape, the model's shape) of tensors that were resized.
        adapted: (the file's key, its channels, the model's channels) of the stem's first kernel.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    resampled: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    adapted: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def misfits(self) -> bool:
        """Return whether names or shapes differ; unusable values do not count."""
        return any(fault.kind != 'values' for fault in self.faults)

    @property
    def problems(self) -> str:
        """Return the faults as text, '' if there are none."""
        return describe(self.faults)


def match(model: nn.Module, state: dict[str, Tensor], *, whole: bool = False) -> Match:
    """Rename `state` (published or ours, no prefixes) to our names and compare it with `model`.

    Args:
        model: a `Pyramid`.
        state: the backbone's part of the file.
        whole: the file holds a whole model, which must have all keys of the backbone.
    """
    layout, own = model.PUBLISHED, is_own(state, model)
    every, stem = _all_levels(model), _first_kernel(model)
    built = model.state_dict()
    complete = own or whole or layout.is_dense(state)
    report, seen = Match(), set()
    for key, tensor in state.items():
        name = key if own else layout.rename(key)
        if not own and layout.drops(key):
            report.dropped.append(key)
        elif name not in every or name in seen:  # unknown, or a second key for the same tensor
            report.faults.append(Fault('surplus', key))
        else:
            seen.add(name)
            target = built.get(name, every[name])
            plain = tensor.layout == torch.strided and not tensor.is_nested
            fitted = layout.fit(name, tensor, target) if plain else tensor
            if fitted is None and name == stem:
                fitted = adapt_channels(tensor, target)
            if fitted is None:
                shapes = tuple(tensor.shape), tuple(target.shape)
                report.faults.append(Fault('shape', key, *shapes))
            elif wrong := unusable(key, tensor, target):
                report.faults.append(wrong)
            elif name not in built:
                report.dropped.append(key)
            else:
                report.state[name] = fitted
                if name == stem and fitted.shape[1] != tensor.shape[1]:
                    report.adapted.append((key, tensor.shape[1], fitted.shape[1]))
                elif fitted.numel() != tensor.numel():
                    report.resampled.append((key, tuple(tensor.shape), tuple(fitted.shape)))
    report.faults += [
        Fault('missing', name)
        for name in built
        if name not in seen and (complete or not layout.adds(name))
    ]
    return report


def adapt_channels(kernel: Tensor, target: Tensor) -> Tensor | None:
    """Adapt an RGB kernel to another number of input channels; None for other kernels.

    A single channel gets the sum; several get the kernels of red, green and blue in turn, scaled so
    that an image with equal channels gives the same values.

    Args:
        kernel: (C, 3, k, k).
        target: (C, channels, k, k).

    Source: the rule of timm's `adapt_input_conv`.
    """
    sides = (0, 2, 3)
    if kernel.ndim != 4 or kernel.shape[1] != 3:
        return None
    if [kernel.shape[i] for i in sides] != [target.shape[i] for i in sides]:
        return None
    channels = target.shape[1]
    if channels == 1:
        return kernel.sum(1, keepdim=True)
    turns = torch.arange(channels, device=kernel.device) % 3
    return kernel[:, turns] * (3 / channels)


def is_own(state: Iterable[str], model: nn.Module) -> bool:
    """Return whether the names are ours, of which a `Pyramid` has more than of published ones.

    If the two are the same, `stem` is a name of ours: such a file must be complete.
    """
    layout, names = model.PUBLISHED, _all_levels(model)
    own = sum(key in names for key in state)
    published = sum(layout.rename(key) in names for key in state if not layout.drops(key))
    return own > published or (own == published and any(key.startswith('stem.') for key in state))


def _first_kernel(model: nn.Module) -> str:
    """Return the name of the kernel that reads images."""
    convolutions = (n for n, module in model.named_modules() if isinstance(module, nn.Conv2d))
    return f'{next(convolutions, "")}.weight'


def unusable(key: str, tensor: Tensor, target: Tensor) -> Fault | None:
    """Return what is wrong with a tensor's values; a meta model accepts meta tensors."""
    if tensor.is_meta:
        return None if target.is_meta else Fault('values', key, 'none', 'the file has only shapes')
    if tensor.layout != torch.strided or tensor.is_nested:
        kind = 'nested' if tensor.is_nested else str(tensor.layout).removeprefix('torch.')
        return Fault('values', key, kind, 'save dense tensors: tensor.to_dense()')
    if not target.is_floating_point():
        return None if not tensor.is_complex() else Fault('values', key, 'complex', 'save integers')
    if tensor.dtype not in FLOATS:
        allowed = ', '.join(str(dtype).removeprefix('torch.') for dtype in FLOATS)
        return Fault('values', key, str(tensor.dtype).removeprefix('torch.'), f'allowed: {allowed}')
    if not tensor.isfinite().all():
        nan = int(tensor.isnan().sum())
        infinite = int(tensor.isinf().sum())
        counts = f'{nan} NaN, {infinite} infinite of {tensor.numel()}'
        return Fault('values', key, counts, 'use a checkpoint from before the run diverged')
    return None


def _all_levels(model: nn.Module) -> dict[str, Tensor]:
    """Return names and shapes of `model` with all four levels, whatever its out_indices."""
    built = model.state_dict()
    if len(model.out_indices) == 4:
        return built
    with torch.device('meta'):
        return {**model.with_levels(range(4)).state_dict(), **built}


def describe(faults: list[Fault]) -> str:
    """Return the faults as text: the first of each kind."""
    lines = []
    for kind, title in TITLES.items():
        keys = [str(fault) for fault in faults if fault.kind == kind]
        if keys:
            more = [f'... and {len(keys) - SHOWN} more'] if len(keys) > SHOWN else []
            lines.append(f'\n{len(keys)} {title}:\n  ' + '\n  '.join(keys[:SHOWN] + more))
    return ''.join(lines)


def nearest(state: dict[str, Tensor]) -> str:
    """Name the class and variant that the file fits, or the closest one."""
    ranked = [
        (len(match(_skeleton(row), state).faults), f"type='{type_of(row.cls)}', arch='{row.arch}'")
        for row in _candidates(state)
    ]
    count, name = min(ranked, default=(len(state), ''), key=lambda entry: entry[0])
    if not count:
        return f'\nThe file fits another model: {name}.'
    if count <= max(NEAR * len(state), 1):
        return f'\nThe closest variant is {name}, from which the file differs in {count} key(s).'
    return '\nThe file is not close to any variant of this project.'


def _candidates(state: dict[str, Tensor], least: int = 4) -> list[Variant]:
    """Return the variants whose numbers of blocks are closest to the file's, at least `least`."""
    ranked = []
    for cls in BACKBONES:
        names = {*state, *map(cls.PUBLISHED.rename, state)}
        found = map(re.compile(r'stages\.(\d)\.blocks\.(\d+)').match, names)
        blocks = {m.groups() for m in found if m}
        depths = [sum(stage == str(i) for stage, _ in blocks) for i in range(4)]
        ranked += [
            (sum(abs(a - b) for a, b in zip(depths, row['depths'])), row)
            for row in cls.ARCHS.values()
        ]
    ranked.sort(key=lambda entry: entry[0])
    farthest = ranked[:least][-1][0]
    return [row for distance, row in ranked if distance <= farthest]


def _skeleton(row: Variant) -> nn.Module:
    """Build a variant on the meta device, for names and shapes; cached, since it takes seconds."""
    key = row.cls, row.name  # a class that is defined again keeps its variants' names
    if key not in _skeletons:
        with torch.device('meta'):
            _skeletons[key] = row.cls(row.arch)
    return _skeletons[key]


_skeletons: dict[tuple, nn.Module] = {}
