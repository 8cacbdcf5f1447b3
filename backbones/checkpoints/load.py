"""Load a state dict into a backbone or a whole model: one comparison, one report, nothing half.

Whatever does not fit is an error that lists the keys on both sides: a model is never left half
random.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from backbones.checkpoints.files import SHOWN, CheckpointError, other_entries, read, select
from backbones.registry import BACKBONES

PREFIX = 'backbone.'  # of the backbone's keys in a whole model
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
TITLES = dict(
    missing='missing in the file',
    surplus='not known here',
    shape='of another shape',
    values='with values that no model can use',
)
NEAR = 0.05  # share of a file's keys that may differ from a variant for it to be named


@dataclass(frozen=True)
class Fault:
    """A key that does not fit, and why.

    Args:
        kind: a key of `TITLES`.
        key: by our name if it is missing in the file, else by the file's.
        found, expected: shapes, or words about the values; None where there is nothing.
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
        dropped: the file's keys left out on purpose.
        faults: what does not fit.
        resampled: (the file's key, its shape, the shape here) of tensors brought to another size.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    resampled: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)

    @property
    def problems(self) -> str:
        """The faults as text, '' if there are none."""
        return describe(self.faults)


@dataclass(frozen=True)
class Loaded:
    """What a model's weights are.

    Args:
        model: the class that was loaded.
        source: the file.
        entry: the file's entry that held the weights, '' for the file itself.
        others: entries with weights that were not taken, e.g. averaged ones.
        tensors: how many of the model's tensors were loaded.
        initial: those that are not in the file and keep their initial values.
        dropped: the file's keys left out on purpose.
        resampled: see `Match`.
    """

    model: str
    source: str
    entry: str
    others: list[str]
    tensors: int
    initial: list[str]
    dropped: list[str]
    resampled: list[tuple[str, tuple[int, ...], tuple[int, ...]]]

    def __str__(self) -> str:
        total = self.tensors + len(self.initial)
        parts = ', '.join(sorted({k.split('.')[0] for k in self.dropped})) or 'none'
        lines = [f'loaded {self.tensors} of {total} tensors of {self.model} from {self.source}']
        if self.entry:
            others = f' (not taken: {", ".join(self.others)})' if self.others else ''
            lines.append(f', entry {self.entry}{others}')
        if self.initial:
            lines.append(f', {len(self.initial)} new in the dense model keep their initial values')
        lines.append(f'; dropped on purpose: {len(self.dropped)} ({parts})')
        lines += [
            f'; {key} resampled from {_cells(old)} to {_cells(new)} cells'
            for key, old, new in self.resampled
        ]
        return ''.join(lines)


def load_backbone(
    model: nn.Module, checkpoint: str, *, key: str | None = None, prefix: str | None = None
) -> Loaded:
    """Load a published file or one of ours into a `Pyramid`, and log one line.

    Numbers of half, bfloat16 or double precision become those of the model.

    Args:
        model: the backbone; its class's `PUBLISHED` describes the published layout.
        checkpoint: see `files.read`.
        key: entry of the file that holds the state dict, e.g. 'model_ema'; None takes the first of
            `PUBLISHED.wrappers` that is there, else the file itself.
        prefix: prefix of the backbone's keys in a whole model; None recognises `backbone.`.

    Returns:
        What was loaded, also kept as `model.loaded`.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: the file is damaged, would execute code, or does not match `model`.
    """
    file = read(checkpoint)
    entry, state = select(file, key, model.PUBLISHED.wrappers, checkpoint)
    state, other = _part(state, prefix, checkpoint)
    report = match(model, state)
    if report.faults:
        raise CheckpointError(
            f'{checkpoint} does not fit {type(model).__name__} {report.problems}{_nearest(state)}'
        )
    model.load_state_dict(report.state, strict=False)
    model.loaded = Loaded(
        model=type(model).__name__,
        source=checkpoint,
        entry=entry,
        others=other_entries(file, entry),
        tensors=len(report.state),
        initial=[k for k in model.state_dict() if k not in report.state],
        dropped=report.dropped + other,
        resampled=report.resampled,
    )
    print_log(str(model.loaded), logger='current')
    return model.loaded


def match(model: nn.Module, state: dict[str, Tensor], *, whole: bool = False) -> Match:
    """Bring `state` (published or ours, no prefixes) to our names and compare it with `model`.

    Args:
        model: a `Pyramid`.
        state: the backbone's part of the file.
        whole: the file is that of a whole model, in which no key of the backbone may be missing.
    """
    layout, own = model.PUBLISHED, is_own(state)
    every = _all_levels(model)
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
            fitted = layout.fit(name, tensor, target) if tensor.layout == torch.strided else tensor
            if fitted is None:
                shapes = tuple(tensor.shape), tuple(target.shape)
                report.faults.append(Fault('shape', key, *shapes))
            elif wrong := _unusable(key, tensor, target):
                report.faults.append(wrong)
            elif name not in built:
                report.dropped.append(key)
            else:
                report.state[name] = fitted
                if fitted.numel() != tensor.numel():
                    report.resampled.append((key, tuple(tensor.shape), tuple(fitted.shape)))
    report.faults += [
        Fault('missing', name)
        for name in built
        if name not in seen and (complete or not layout.adds(name))
    ]
    return report


def is_own(state: Iterable[str]) -> bool:
    """Tell our layout from the published ones, of which none has a top-level `stem`."""
    return any(name.startswith('stem.') for name in state)


def load_model(model: nn.Module, checkpoint: str, *, new_classes: bool = False) -> None:
    """Load a whole detector or segmentor, strictly: one of ours, or a published dense file.

    Published files (MMDetection 2.x, MMSegmentation 0.x) name necks and heads, and order classes,
    as MMDetection 3.x and MMSegmentation 1.x do; only the backbone's part is renamed.

    Args:
        model: the model that the config describes.
        checkpoint: see `files.read`.
        new_classes: leave the head tensors as they are whose number of classes alone differs, as
            fine-tuning on other data needs it, and log their names.

    Raises:
        MissingFileError, CheckpointError: see `load_backbone`.
    """
    _, state = select(read(checkpoint), None, ('state_dict', 'model'), checkpoint)
    report = _match_model(model, state)
    target = model.state_dict()
    fresh = [
        fault.key
        for fault in report.faults
        if new_classes and fault.kind == 'shape' and _other_classes(fault)
    ]
    faults = [fault for fault in report.faults if fault.key not in fresh]
    if faults:
        raise CheckpointError(
            f"{checkpoint} does not fit this config's {type(model).__name__} {describe(faults)}\n"
            'Use the config that the checkpoint was trained with; to start a training from a '
            "backbone's file, use tools/train.py --pretrained FILE."
        )
    assert {*report.state, *fresh} == set(target)
    model.load_state_dict(report.state, strict=False)
    if fresh:
        print_log(f'initialised anew for other classes: {", ".join(fresh)}', logger='current')


def _match_model(model: nn.Module, state: dict[str, Tensor]) -> Match:
    """Compare a whole model's tensors; rename the backbone's part if it is a published one."""
    report, rest = Match(), dict(state)
    backbone = getattr(model, 'backbone', None)
    part = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    if hasattr(backbone, 'PUBLISHED') and not is_own(part):
        renamed = match(backbone, part, whole=True)
        report.state = {PREFIX + k: v for k, v in renamed.state.items()}
        report.faults = [replace(fault, key=PREFIX + fault.key) for fault in renamed.faults]
        rest = {k: v for k, v in state.items() if not k.startswith(PREFIX)}
    target = model.state_dict()
    for key, tensor in rest.items():
        if key not in target:
            report.faults.append(Fault('surplus', key))
        elif tensor.shape != target[key].shape:
            shapes = tuple(tensor.shape), tuple(target[key].shape)
            report.faults.append(Fault('shape', key, *shapes))
        elif wrong := _unusable(key, tensor, target[key]):
            report.faults.append(wrong)
        else:
            report.state[key] = tensor
    compared = len(rest) < len(state)  # the backbone's part, already
    report.faults += [
        Fault('missing', key)
        for key in target
        if key not in rest and not (compared and key.startswith(PREFIX))
    ]
    return report


def _other_classes(fault: Fault) -> bool:
    return '_head.' in fault.key and fault.found[1:] == fault.expected[1:]


def _unusable(key: str, tensor: Tensor, target: Tensor) -> Fault | None:
    """What is wrong with a tensor's values. A model without values takes any that fit."""
    if tensor.is_meta:
        return None if target.is_meta else Fault('values', key, 'none', 'the file has shapes only')
    if tensor.layout != torch.strided or tensor.is_nested:
        kind = str(tensor.layout).removeprefix('torch.')
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
        return Fault('values', key, counts, 'take a checkpoint from before the training diverged')
    return None


def _part(
    state: dict[str, Tensor], prefix: str | None, source: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Take the backbone's part of a whole model; the other parts are returned as names only.

    Raises:
        CheckpointError: no key has the `prefix` that was asked for.
    """
    wanted = PREFIX if prefix is None else f'{prefix.rstrip(".")}.' if prefix else ''
    if not any(k.startswith(wanted) for k in state):
        if prefix is None:
            return state, []
        parts = ', '.join(sorted({k.split('.')[0] for k in state})[:SHOWN])
        raise CheckpointError(f'{source} has no key with the prefix {wanted!r}; it has {parts}')
    return (
        {k.removeprefix(wanted): v for k, v in state.items() if k.startswith(wanted)},
        [k for k in state if not k.startswith(wanted)],
    )


def _all_levels(model: nn.Module) -> dict[str, Tensor]:
    """Names and shapes of `model` with all four levels, also those that out_indices leaves out."""
    built = model.state_dict()
    if len(model.out_indices) == 4:
        return built
    with torch.device('meta'):
        return {**type(model)(model.arch).state_dict(), **built}


def describe(faults: list[Fault]) -> str:
    """The faults as text, by kind, the first of each."""
    lines = []
    for kind, title in TITLES.items():
        keys = [str(fault) for fault in faults if fault.kind == kind]
        if keys:
            more = [f'... and {len(keys) - SHOWN} more'] if len(keys) > SHOWN else []
            lines.append(f'\n{len(keys)} {title}:\n  ' + '\n  '.join(keys[:SHOWN] + more))
    return ''.join(lines)


def _nearest(state: dict[str, Tensor]) -> str:
    """Name the class and variant that the file fits, or the one that it comes nearest to."""
    ranked = [
        (len(match(_skeleton(cls, arch), state).faults), f"type='{cls.__name__}', arch='{arch}'")
        for cls, arch in _candidates(state)
    ]
    count, name = min(ranked, default=(len(state), ''), key=lambda entry: entry[0])
    if not count:
        return f'\nThe file fits another model: {name}.'
    if count <= max(NEAR * len(state), 1):
        return f'\nThe nearest variant is {name}, from which the file differs in {count} key(s).'
    return '\nThe file comes near no variant of this project.'


def _candidates(state: dict[str, Tensor], most: int = 4) -> Iterator[tuple[type, str]]:
    """The variants whose numbers of blocks come nearest to the file's."""
    ranked = []
    for cls in BACKBONES:
        names = state if is_own(state) else map(cls.PUBLISHED.rename, state)
        found = map(re.compile(r'stages\.(\d)\.blocks\.(\d+)').match, names)
        blocks = {m.groups() for m in found if m}
        depths = [sum(stage == str(i) for stage, _ in blocks) for i in range(4)]
        ranked += [
            (sum(abs(a - b) for a, b in zip(depths, row['depths'])), cls, arch)
            for arch, row in cls.ARCHS.items()
        ]
    for _, cls, arch in sorted(ranked, key=lambda entry: entry[0])[:most]:
        yield cls, arch


@functools.cache
def _skeleton(cls: type, arch: str) -> nn.Module:
    """A variant without values, for names and shapes."""
    with torch.device('meta'):
        return cls(arch)


def _cells(shape: tuple[int, ...]) -> str:
    """The sides of a (1, H, W, C) table."""
    return 'x'.join(map(str, shape[1:-1]))
