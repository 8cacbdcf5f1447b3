"""Published state dicts and our own -> the modules of this project, strictly.

A backbone describes its published key layout as data (`PublishedKeys`). Whatever does not fit is an
error that lists the keys on both sides: a model is never left half random.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from backbones.checkpoint_files import SHOWN, read, select

STRIPPED = ('module.', 'backbone.')  # prefixes of DistributedDataParallel and of whole models


def fit(name: str, tensor: Tensor, target: Tensor) -> Tensor | None:
    """`tensor` in the shape of `target` if only the ones of a 1x1 kernel differ, else None."""
    if tensor.shape == target.shape:
        return tensor
    kernel, matrix = sorted((tensor.shape, target.shape), key=len, reverse=True)
    return tensor.reshape(target.shape) if kernel == (*matrix, 1, 1) else None


@dataclass(frozen=True)
class PublishedKeys:
    """How a published state dict maps to ours.

    Args:
        renames: (regular expression, replacement) pairs, applied in order to each published key.
        dropped: regular expressions of published keys without a place in a dense model.
        added: regular expressions of our keys that no published classification file has; they keep
            their initial values.
        dense: regular expression of the keys that only a published dense file has, '' if there
            are no such files; next to them `added` does not excuse a missing key.
        wrappers: entries of the file under which the state dict may lie, best first.
        fit: brings (our name, tensor, target) to the target's shape, None if that is not defined.
    """

    renames: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...] = (r'head\.',)
    added: tuple[str, ...] = ()
    dense: str = ''
    wrappers: tuple[str, ...] = ('state_dict', 'model')
    fit: Callable[[str, Tensor, Tensor], Tensor | None] = fit

    def rename(self, key: str) -> str:
        for pattern, replacement in self.renames:
            key = re.sub(pattern, replacement, key)
        return key


def load_backbone(
    model: nn.Module, checkpoint: str, key: str | None = None, prefix: str | None = None
) -> None:
    """Load a published file or one of ours into a `Pyramid`, and log one line.

    Args:
        model: the backbone; its class's `PUBLISHED` describes the published layout.
        checkpoint: path or URL.
        key: entry of the file that holds the state dict, e.g. 'model_ema'; None takes the first of
            `PUBLISHED.wrappers` that is there, else the file itself.
        prefix: prefix of the backbone's keys in a whole model; None recognises `backbone.`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, would execute code, or does not match `model`.
    """
    state = select(read(checkpoint), key, model.PUBLISHED.wrappers, checkpoint)
    state, other = _strip(state, prefix)
    report = match(model, state)
    if report.problems:
        raise ValueError(
            f'{checkpoint} does not fit {type(model).__name__} {report.problems}{_suggest(state)}'
        )
    model.load_state_dict(report.state, strict=False)
    total = len(model.state_dict())
    kept = (
        f', {total - len(report.state)} new in the dense model keep their initial values'
        if total > len(report.state)
        else ''
    )
    dropped = report.dropped + other
    names = ', '.join(sorted({k.split('.')[0] for k in dropped})) or 'none'
    model.loaded = (
        f'loaded {len(report.state)} of {total} tensors of {type(model).__name__} from {checkpoint}'
        f'{kept}; dropped on purpose: {len(dropped)} ({names})'
    )
    print_log(model.loaded, logger='current')


@dataclass
class Match:
    """The outcome of `match`: tensors by our names, keys left out on purpose, and what is wrong.

    `wrong` lists the keys that are `missing` (by our names), `surplus` (by the file's) and, with
    their shapes, `shapes` (by the file's).
    """

    state: dict[str, Tensor]
    dropped: list[str]
    wrong: dict[str, list[str]]

    @property
    def problems(self) -> str:
        return _describe(**self.wrong)


def match(model: nn.Module, state: dict[str, Tensor], *, whole: bool = False) -> Match:
    """Bring `state` (published or ours, no prefixes) to our names and compare it with `model`.

    Args:
        model: a `Pyramid`.
        state: the backbone's part of the file.
        whole: the file is that of a whole model, in which no key of the backbone may be missing.
    """
    keys, own = model.PUBLISHED, is_own(state)
    full = _full_layout(model)  # also the levels that out_indices leaves out
    built = model.state_dict()
    dense = bool(keys.dense and any(re.match(keys.dense, name) for name in state))
    complete = own or whole or dense
    loaded, dropped, surplus, shapes = {}, [], [], []
    for name, tensor in state.items():
        ours = name if own else keys.rename(name)
        if not own and any(re.match(p, name) for p in keys.dropped):
            dropped.append(name)
        elif ours not in full or ours in loaded:  # unknown, or a second key for the same tensor
            surplus.append(name)
        else:
            target = built.get(ours, full[ours])
            fitted = keys.fit(ours, tensor, target)
            if fitted is None:
                shapes.append(f'{name} {tuple(tensor.shape)} (here {tuple(target.shape)})')
            elif ours in built:
                loaded[ours] = fitted
            else:
                dropped.append(name)
    mismatched = {keys.rename(s.split(' ')[0]) if not own else s.split(' ')[0] for s in shapes}
    missing = [
        k
        for k in built
        if k not in loaded
        and k not in mismatched
        and (complete or not any(re.match(p, k) for p in keys.added))
    ]
    return Match(loaded, dropped, dict(missing=missing, surplus=surplus, shapes=shapes))


def is_own(state: dict[str, Tensor]) -> bool:
    """Tell our layout from the published ones, of which none has a top-level `stem`."""
    return any(name.startswith('stem.') for name in state)


def load_model(model: nn.Module, checkpoint: str, *, new_classes: bool = False) -> None:
    """Load a whole detector or segmentor, strictly: one of ours, or a published dense file.

    Published files (MMDetection 2.x, MMSegmentation 0.x) name necks and heads, and order classes,
    as MMDetection 3.x and MMSegmentation 1.x do; only the backbone's part is renamed.

    Args:
        model: the model that the config describes.
        checkpoint: path or URL.
        new_classes: leave the head tensors as they are whose number of classes alone differs, as
            fine-tuning on other data needs it, and log their names.

    Raises:
        FileNotFoundError, ValueError: see `load_backbone`.
    """
    state = select(read(checkpoint), None, ('state_dict', 'model'), checkpoint)
    state, wrong = _own_names(model, {k.removeprefix('module.'): v for k, v in state.items()})
    target = model.state_dict()
    differ = [k for k, v in state.items() if k in target and v.shape != target[k].shape]
    fresh = [k for k in differ if new_classes and _other_classes(k, state[k], target[k])]
    known = {*state, *(k for k in target if wrong and k.startswith('backbone.'))}
    wrong.setdefault('missing', []).extend(k for k in target if k not in known)
    wrong.setdefault('surplus', []).extend(k for k in state if k not in target)
    wrong.setdefault('shapes', []).extend(
        f'{k} {tuple(state[k].shape)} (here {tuple(target[k].shape)})'
        for k in differ
        if k not in fresh
    )
    problems = _describe(**wrong)
    if problems:
        raise ValueError(
            f"{checkpoint} does not fit this config's {type(model).__name__} {problems}\n"
            'Use the config that the checkpoint was trained with; to start a training from a '
            "backbone's file, use tools/train.py --pretrained FILE."
        )
    model.load_state_dict({k: v for k, v in state.items() if k not in fresh}, strict=False)
    if fresh:
        print_log(f'initialised anew for other classes: {", ".join(fresh)}', logger='current')


def _own_names(
    model: nn.Module, state: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """Rename the backbone's part of a published whole model; leave everything else as it is.

    Returns:
        The state dict, and what is wrong with the backbone's part: `Match.wrong`, or {} if it has
        our names already, to be compared with the rest.
    """
    part, _ = _strip(state, 'backbone.')
    backbone = getattr(model, 'backbone', None)
    if not hasattr(backbone, 'PUBLISHED') or is_own(part):
        return state, {}
    report = match(backbone, part, whole=True)
    others = {k: v for k, v in state.items() if not k.startswith('backbone.')}
    own = {f'backbone.{k}': v for k, v in report.state.items()}
    wrong = {kind: [f'backbone.{k}' for k in keys] for kind, keys in report.wrong.items()}
    return {**others, **own}, wrong


def _other_classes(name: str, tensor: Tensor, target: Tensor) -> bool:
    return '_head.' in name and tensor.shape[1:] == target.shape[1:]


def _strip(state: dict[str, Tensor], prefix: str | None) -> tuple[dict[str, Tensor], list[str]]:
    """Remove prefixes; a whole model's other parts are returned as names only."""
    state = {k.removeprefix('module.'): v for k, v in state.items()}
    prefix = prefix if prefix is not None else 'backbone.'
    if not any(k.startswith(prefix) for k in state):
        return state, []
    return (
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)},
        [k for k in state if not k.startswith(prefix)],
    )


def _full_layout(model: nn.Module) -> dict[str, Tensor]:
    """Names and shapes of `model` with all four levels."""
    built = model.state_dict()
    if len(model.out_indices) == 4:
        return built
    with torch.device('meta'):
        return {**type(model)(model.arch).state_dict(), **built}


def _describe(**kinds: list[str]) -> str:
    titles = {
        'missing': 'missing in the file',
        'surplus': 'not known here',
        'shapes': 'of another shape',
    }
    lines = []
    for kind, keys in kinds.items():
        if keys:
            more = [f'... and {len(keys) - SHOWN} more'] if len(keys) > SHOWN else []
            lines.append(f'\n{len(keys)} {titles[kind]}:\n  ' + '\n  '.join(keys[:SHOWN] + more))
    return ''.join(lines)


def _suggest(state: dict[str, Tensor]) -> str:
    """Name the class and variant that the file does fit, if there is one."""
    from backbones import BACKBONES  # they import this module

    for cls in BACKBONES:
        names = state if is_own(state) else map(cls.PUBLISHED.rename, state)
        blocks = {
            m.groups() for m in map(re.compile(r'stages\.(\d)\.blocks\.(\d+)').match, names) if m
        }
        depths = tuple(sum(stage == str(i) for stage, _ in blocks) for i in range(4))
        for arch in (name for name, known in cls.ARCHS.items() if known['depths'] == depths):
            with torch.device('meta'):
                candidate = cls(arch)
            if not match(candidate, state).problems:
                return f"\nThe file fits another model: type='{cls.__name__}', arch='{arch}'."
    return '\nThe file fits no variant of this project.'
