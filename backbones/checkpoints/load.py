"""Load a state dict into a backbone or a whole model: one comparison, one report, nothing half.

Whatever does not fit is an error that lists the keys on both sides: a model is never left half
random.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from backbones.checkpoints.classes import classes_in, same_classes
from backbones.checkpoints.files import other_entries, read, select
from backbones.checkpoints.match import Fault, Match, describe, is_own, match, nearest, unusable
from backbones.errors import SHOWN, CheckpointError, listed

LOG = logging.getLogger('backbones')
PREFIX = 'backbone.'  # of the backbone's keys in a whole model


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
        resampled, adapted: see `Match`.
    """

    model: str
    source: str
    entry: str
    others: list[str]
    tensors: int
    initial: list[str]
    dropped: list[str]
    resampled: list[tuple[str, tuple[int, ...], tuple[int, ...]]]
    adapted: list[tuple[str, int, int]]

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
        lines += [
            f'; {key} adapted from {old} to {new} input channels' for key, old, new in self.adapted
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
        hint = nearest(state) if report.misfits else ''
        raise CheckpointError(
            f'{checkpoint} does not fit {type(model).__name__} {report.problems}{hint}'
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
        adapted=report.adapted,
    )
    LOG.info(model.loaded)
    return model.loaded


def load_model(
    model: nn.Module,
    checkpoint: str,
    *,
    file: dict | None = None,
    classes: Sequence[str] | None = None,
    new_classes: Callable[[], set[str]] | None = None,
) -> None:
    """Load a whole detector or segmentor, strictly: one of ours, or a published dense file.

    Published files (MMDetection 2.x, MMSegmentation 0.x) name necks and heads, and order classes,
    as MMDetection 3.x and MMSegmentation 1.x do; only the backbone's part is renamed.

    Args:
        model: the model that the config describes.
        checkpoint: see `files.read`.
        file: what `read` has returned for it; None reads it.
        classes: names of the model's classes; None, or a file without names, compares nothing.
        new_classes: tells the tensors whose shape depends on the number of classes. These stay as
            they are, and are logged, where the file's classes are others, as fine-tuning on other
            data needs it; None refuses other classes.

    Raises:
        MissingFileError, CheckpointError: see `load_backbone`; or the classes differ.
    """
    file = read(checkpoint) if file is None else file
    trained = classes_in(file)
    _, state = select(file, None, ('state_dict', 'model'), checkpoint)
    report = _match_model(model, state)
    strict = new_classes is None
    other_model = strict and not all(map(_other_classes, report.faults))  # which says more
    same = other_model or same_classes(trained, classes, checkpoint, fresh=not strict)
    fresh = [] if new_classes is None else _fresh(report, [] if same else new_classes())
    faults = [fault for fault in report.faults if fault.key not in fresh]
    if faults:
        raise CheckpointError(
            f"{checkpoint} does not fit this config's {type(model).__name__} {describe(faults)}\n"
            'Use the config that the checkpoint was trained with; to start a training from a '
            "backbone's file, use tools/train.py --pretrained FILE."
        )
    kept = {key: tensor for key, tensor in report.state.items() if key not in fresh}
    assert {*kept, *fresh} == set(model.state_dict())
    model.load_state_dict(kept, strict=False)
    if fresh:
        others = (
            f' ({listed(trained)} there, {listed(classes)} here)' if trained and classes else ''
        )
        LOG.warning('initialised anew for other classes%s: %s', others, ', '.join(fresh))


def _fresh(report: Match, of_classes: Iterable[str]) -> list[str]:
    """The tensors that other classes leave at their initial values."""
    misfits = [fault.key for fault in report.faults if _other_classes(fault)]
    named = [f.key for f in report.faults if f.kind == 'shape' and f.key in of_classes]
    return list(dict.fromkeys([*misfits, *named, *(k for k in report.state if k in of_classes)]))


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
        elif not tensor.is_nested and tensor.shape != target[key].shape:
            shapes = tuple(tensor.shape), tuple(target[key].shape)
            report.faults.append(Fault('shape', key, *shapes))
        elif wrong := unusable(key, tensor, target[key]):
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
    if not (isinstance(fault.found, tuple) and isinstance(fault.expected, tuple)):
        return False
    return '_head.' in fault.key and fault.found[1:] == fault.expected[1:]


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


def _cells(shape: tuple[int, ...]) -> str:
    """The sides of a (1, H, W, C) table."""
    return 'x'.join(map(str, shape[1:-1]))
