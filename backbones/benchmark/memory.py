"""Memory: the peak of a process of its own, and what autograd keeps, which no device changes."""

import contextlib
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from backbones.benchmark.steps import prepare, running
from backbones.benchmark.subjects import build

MIB = 2**20
WHOLE = 2**62  # values of a strip: all


def peak_mib(candidate: dict) -> float | str:
    """Peak memory of a candidate in MiB, or why it could not be measured."""
    done = subprocess.run(
        [sys.executable, '-m', __name__, json.dumps(candidate)],
        # freed blocks go back at once, so that the peak holds no trace of the warm-up
        env={**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536', 'MALLOC_TRIM_THRESHOLD_': '65536'},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1]
    return round(float(done.stdout.split()[-1]), 1)


def raise_of(candidate: dict) -> float:
    """How far one pass raises this process's memory, in MiB."""
    at = prepare(candidate)
    size = tuple(candidate['size'])
    # what libraries set up once is no part of it; a compiled program is made for one size
    at(size if candidate['compile'] else tuple(min(s, 64) for s in size))()
    step = at(size)
    if candidate['device'] == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / MIB
        step()
        return torch.cuda.max_memory_allocated() / MIB - before
    Path('/proc/self/clear_refs').write_text('5')  # lowers the high-water mark to what is in use
    before = _resident('VmRSS')
    step()
    return _resident('VmHWM') - before


def _resident(field: str) -> float:
    """A field of Linux's process status, in MiB."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def saved_mib(candidate: dict) -> float:
    """What autograd keeps from a training step's forward to its backward pass, in MiB.

    Distinct storages, without parameters, buffers and the image; an operator's inputs count. By
    shapes alone: nothing is computed, nothing allocated.
    """
    candidate = candidate | dict(mode='train', compile=False)
    with FakeTensorMode(allow_non_fake_inputs=True), _whole_maps():
        return round(kept_bytes(candidate) / MIB, 1)


def kept_bytes(candidate: dict) -> int:
    """Run the forward pass; add up the storages that its graph holds in the end."""
    ours, at = build(candidate)
    run, inputs = at(tuple(candidate['size']))
    given = () if 'op' in candidate else inputs
    ours = {_storage(x)._cdata for x in (*ours, *given)}
    kept: weakref.WeakSet[_Kept] = weakref.WeakSet()

    def keep(x: Tensor) -> _Kept:
        holder = _Kept(x)
        kept.add(holder)
        return holder

    with (
        running(candidate),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda holder: holder.tensor),
    ):
        outputs = run(*inputs)
    storages = {_storage(holder.tensor)._cdata: _storage(holder.tensor) for holder in kept}
    del outputs  # until here it held the graph
    return sum(storage.nbytes() for key, storage in storages.items() if key not in ours)


class _Kept:
    """Holds a saved tensor, as long as the graph holds this."""

    def __init__(self, x: Tensor) -> None:
        self.tensor = x.detach()  # a node that saves its own output would hold itself


def _storage(x: Tensor) -> torch.UntypedStorage:
    return x.untyped_storage()


@contextlib.contextmanager
def _whole_maps() -> Iterator[None]:
    """Let operators cut no strips: these change temporaries only, and cost time."""
    modules = [m for name, m in sys.modules.items() if name.startswith('backbones.ops.')]
    with contextlib.ExitStack() as stack:
        for module in modules:
            if hasattr(module, 'STRIP'):
                stack.enter_context(mock.patch.object(module, 'STRIP', WHOLE))
        yield


if __name__ == '__main__':
    print(raise_of(json.loads(sys.argv[1])))
