"""Strictly loading a file with another library's names into an `AdaptedPyramid`."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from backbones.checkpoints.files import read, select
from backbones.checkpoints.load import PREFIX, match_tensors
from backbones.checkpoints.match import FLOATS, adapt_channels
from backbones.errors import CheckpointError

READABLE = (*FLOATS, torch.int32, torch.int64, torch.bool)
LOG = logging.getLogger('backbones')


def load_adapted(model: Any, checkpoint: str, key: str | None = None) -> None:
    """Load a file, and log one line; only parts that a backbone does not have are left out.

    Args:
        model: an `AdaptedPyramid`.
        checkpoint: see `files.read`; with the names of the model's library, or one of ours.
        key: the file's entry that holds the tensors.

    Raises:
        CheckpointError: tensors are missing, unknown, of another shape, or not finite numbers.
    """
    _, state = select(read(checkpoint), key, ('state_dict', 'model'), checkpoint)
    whole = {k.removeprefix(PREFIX): t for k, t in state.items() if k.startswith(PREFIX)}
    state = whole or state
    own = any(name.startswith('trunk.') for name in state)
    target = model if own else model.trunk
    wanted = target.state_dict()
    if not own:
        state = _published(model, state)
        wanted = {name: tensor for name, tensor in wanted.items() if name not in model.idle}
    report = match_tensors(wanted, state)
    if report.faults:
        raise CheckpointError(f'{checkpoint} does not fit {model.arch} {report.problems}')
    target.load_state_dict(report.state, strict=False)
    model.loaded = f'loaded {len(report.state)} tensors of {model.arch} from {checkpoint}'
    LOG.info(model.loaded)


def _published(model: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that the backbone needs from a file with the library's names."""
    target = model.trunk.state_dict()
    plain = all(t.layout == torch.strided and t.dtype in READABLE for t in state.values())
    state = model.converted(state) if plain else state
    unused = (model.known - {*target} | model.idle, model.left_out())
    state = {k: t for k, t in state.items() if k not in unused[0] and not k.startswith(unused[1])}
    for name in model.first_kernels():
        if name in state and name in target and state[name].shape != target[name].shape:
            adapted = adapt_channels(state[name], target[name])
            state[name] = state[name] if adapted is None else adapted
    return state
