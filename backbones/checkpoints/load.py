"""Loading a state dict into a backbone or a whole model: completely, or not at all.

Any mismatch is an error that lists the keys on both sides, so no model stays partly random.
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
PREFIX = 'backbone.'  # prefix of the backbone's keys in a whole model


@dataclass(frozen=True)
class Loaded:
    """A record of the weights that were loaded into a model.

    Args:
        model: the model's class.
        source: the file.
        entry: the file's entry with the weights, '' for the file itself.
        others: entries with other weights that were not loaded, such as averaged ones.
        tensors: number of the model's tensors that were loaded.
        initial: tensors that are not in the file and keep their initial values.
        dropped: the file's keys that were intentionally not loaded.
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
            others = f' (not used: {", ".join(self.others)})' if self.others else ''
            lines.append(f', entry {self.entry}{others}')
        if self.initial:
            lines.append(f', {len(self.initial)} new in the dense model keep their initial values')
        lines.append(f'; intentionally dropped: {len(self.dropped)} ({parts})')
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

    Numbers in half, bfloat16 or double precision are converted to the model's precision.

    Args:
        model: the backbone; its class's `PUBLISHED` describes the published layout.
        checkpoint: see `files.read`.
        key: the file's entry with the state dict, such as 'model_ema'; None means the first of
            `PUBLISHED.wrappers` that exists, otherwise the file itself.
        prefix: prefix of the backbone's keys in a whole model; None recognises `backbone.`.

    Returns:
        What was loaded, also stored as `model.loaded`.

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
    backbone: bool = True,
) -> None:
    """Strictly load a whole detector or segmentor: one of ours, or a published dense file.

    Published files (MMDetection 2.x, MMSegmentation 0.x) have the names of necks and heads, and the
    order of classes, of MMDetection 3.x and MMSegmentation 1.x; only the backbone is renamed.

    Args:
        model: the model that the config describes.
        checkpoint: see `files.read`.
        file: what `read` returned for it; None reads it.
        classes: names of the model's classes; None, or a file without names, skips the comparison.
        new_classes: returns the tensors whose shape depends on the number of classes. If the file
            has other classes, these keep their values, and are logged, as fine-tuning on other data
            requires; None rejects other classes.
        backbone: False leaves the model's backbone as it is, since the file has another one. Layers
            of neck or heads that read the backbone keep their values if its channels differ. What
            was loaded, and what was not, is logged.

    Raises:
        MissingFileError, CheckpointError: see `load_backbone`; or the classes differ.
    """
    file = read(checkpoint) if file is None else file
    trained = classes_in(file)
    _, state = select(file, None, ('state_dict', 'model'), checkpoint)
    report = _match_model(model, state) if backbone else _match_others(model, state)
    strict = new_classes is None
    other_model = strict and not all(map(_other_classes, report.faults))  # the clearer error
    same = other_model or same_classes(trained, classes, checkpoint, fresh=not strict)
    fresh = [] if new_classes is None else _fresh(report, [] if same else new_classes())
    readers = [] if backbone else [f.key for f in report.faults if _other_channels(f)]
    faults = [fault for fault in report.faults if fault.key not in {*fresh, *readers}]
    if faults:
        raise CheckpointError(
            f"{checkpoint} does not fit this config's {type(model).__name__} {describe(faults)}\n"
            'Use the config that the checkpoint was trained with; to start a training run from a '
            "backbone's file, use tools/train.py --pretrained FILE."
        )
    kept = {key: tensor for key, tensor in report.state.items() if key not in fresh}
    own = () if backbone else (key for key in model.state_dict() if key.startswith(PREFIX))
    assert {*kept, *fresh, *readers, *own} == set(model.state_dict())
    model.load_state_dict(kept, strict=False)
    if fresh:
        others = f' ({listed(trained)} -> {listed(classes)})' if trained and classes else ''
        LOG.warning('re-initialised for other classes%s: %s', others, ', '.join(fresh))
    if not backbone:
        parts = ', '.join(dict.fromkeys(key.split('.')[0] for key in kept))
        LOG.warning('loaded from %s, without its backbone: %s', checkpoint, parts)
    if readers:
        LOG.warning('re-initialised for the channels of the backbone: %s', ', '.join(readers))


def _fresh(report: Match, of_classes: Iterable[str]) -> list[str]:
    """Return the tensors that keep their initial values because the classes differ."""
    misfits = [fault.key for fault in report.faults if _other_classes(fault)]
    named = [f.key for f in report.faults if f.kind == 'shape' and f.key in of_classes]
    return list(dict.fromkeys([*misfits, *named, *(k for k in report.state if k in of_classes)]))


def _match_model(model: nn.Module, state: dict[str, Tensor]) -> Match:
    """Compare a whole model's tensors, renaming a published backbone's part."""
    report, rest = Match(), dict(state)
    backbone = getattr(model, 'backbone', None)
    part = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    if hasattr(backbone, 'PUBLISHED') and not is_own(part, backbone):
        renamed = match(backbone, part, whole=True)
        report.state = {PREFIX + k: v for k, v in renamed.state.items()}
        report.faults = [replace(fault, key=PREFIX + fault.key) for fault in renamed.faults]
        rest = {k: v for k, v in state.items() if not k.startswith(PREFIX)}
    compared = len(rest) < len(state)  # the backbone's part was compared
    target = model.state_dict()
    other = match_tensors(
        {k: t for k, t in target.items() if not (compared and k.startswith(PREFIX))}, rest
    )
    report.state.update(other.state)
    report.faults += other.faults
    return report


def _match_others(model: nn.Module, state: dict[str, Tensor]) -> Match:
    """Compare all of a whole model's tensors except its backbone's."""
    target, given = (
        {key: tensor for key, tensor in tensors.items() if not key.startswith(PREFIX)}
        for tensors in (model.state_dict(), state)
    )
    return match_tensors(target, given)


def has_backbone(file: dict, backbone: nn.Module, checkpoint: str) -> bool:
    """Return whether the backbone in the file of a whole model is this one, not another.

    Args:
        file: what `read` returned for `checkpoint`.
    """
    _, state = select(file, None, ('state_dict', 'model'), checkpoint)
    part = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    if hasattr(backbone, 'PUBLISHED') and not is_own(part, backbone):
        return not match(backbone, part, whole=True).misfits
    return not match_tensors(backbone.state_dict(), part).misfits


def match_tensors(target: dict[str, Tensor], state: dict[str, Tensor]) -> Match:
    """Compare a file's tensors with a model's of the same names."""
    report = Match()
    for key, tensor in state.items():
        if key not in target:
            report.faults.append(Fault('surplus', key))
        elif not tensor.is_nested and tensor.shape != target[key].shape:
            shapes = tuple(tensor.shape), tuple(target[key].shape)
            report.faults.append(Fault('shape', key, *shapes))
        elif wrong := unusable(key, tensor, target[key]):
            report.faults.append(wrong)
        else:
            report.state[key] = tensor
    report.faults += [Fault('missing', key) for key in target if key not in state]
    return report


def _other_classes(fault: Fault) -> bool:
    if not (isinstance(fault.found, tuple) and isinstance(fault.expected, tuple)):
        return False
    return '_head.' in fault.key and fault.found[1:] == fault.expected[1:]


def _other_channels(fault: Fault) -> bool:
    """Return whether a kernel differs only in its input channels."""
    if not (isinstance(fault.found, tuple) and isinstance(fault.expected, tuple)):
        return False
    found, expected = (shape[:1] + shape[2:] for shape in (fault.found, fault.expected))
    return len(fault.found) == len(fault.expected) > 1 and found == expected


def _part(
    state: dict[str, Tensor], prefix: str | None, source: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the backbone's part of a whole model, and the names of all other tensors.

    Raises:
        CheckpointError: no key has the given `prefix`.
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
    """Format the sides of a (1, H, W, C) table."""
    return 'x'.join(map(str, shape[1:-1]))
