"""Trying something with a runner and its data without leaving a trace."""

import contextlib
import copy
import io
import random
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from backbones.training.seeded_dataset import seed_all


def own_transforms(dataset: object) -> object:
    """Return the dataset with copied transforms, some of which keep images or open files."""
    trial = copy.copy(dataset)
    for name, value in vars(dataset).items():
        if name == 'pipeline':
            setattr(trial, name, copy.deepcopy(value))
        elif name == 'dataset':
            setattr(trial, name, own_transforms(value))
        elif name == 'datasets':
            setattr(trial, name, [own_transforms(part) for part in value])
    return trial


@contextlib.contextmanager
def untouched(runner: Runner) -> Iterator[None]:
    """Restore random states, the message hub, and the model's state besides its parameters."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    buffers = {name: buffer.clone() for name, buffer in runner.model.named_buffers()}
    seed_all(0, 0, 0)  # the same augmentations in all processes
    try:
        with contextlib.ExitStack() as stack:
            for part in (runner.message_hub, *_modules(runner.model)):
                stack.enter_context(unchanged(part))
            yield
    finally:
        for name, buffer in runner.model.named_buffers():
            buffer.copy_(buffers[name])
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if on_gpus:
            torch.cuda.set_rng_state_all(on_gpus)
            torch.cuda.empty_cache()


def _modules(model: nn.Module) -> list[nn.Module]:
    """Return all modules, to restore their modes, counters and caches; none under FSDP."""
    if any(isinstance(part, FullyShardedDataParallel) for part in model.modules()):
        return []
    inner = model.module if is_model_wrapper(model) else model
    return list(inner.modules())


@contextlib.contextmanager
def unchanged(thing: object) -> Iterator[None]:
    """Restore an object's attributes, including the entries of lists and dicts."""
    before = dict(vars(thing))
    entries = {k: _entries(v) for k, v in before.items() if isinstance(v, list | dict)}
    try:
        yield
    finally:
        vars(thing).clear()
        vars(thing).update(before)
        for name, inside in entries.items():
            value = before[name]
            value.clear()
            value.update(inside) if isinstance(value, dict) else value.extend(inside.values())


def _entries(value: list | dict) -> dict:
    """Return the entries, a list's by position; message hubs change their histories in place."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return {k: copy.copy(v) if isinstance(v, HistoryBuffer) else v for k, v in pairs}


@contextlib.contextmanager
def silent(runner: Runner) -> Iterator[None]:
    """Suppress the log and stdout: metrics of a few images are meaningless."""
    runner.logger.disabled = True
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        runner.logger.disabled = False
