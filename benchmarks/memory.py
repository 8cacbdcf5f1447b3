"""Memory: the peak of a separate process, and what autograd keeps, whatever the device."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock
from weakref import WeakSet

import torch
from subjects import build, draw_inputs, prepare, running, tensors_of
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from backbones.ops import dispatch

MIB = 2**20
WHOLE = 2**62  # values per strip: all


def peak_mib(candidate: dict) -> float | None:
    """Return a candidate's peak memory above the level before the step in MiB; None on failure."""
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(candidate)],
        # return freed blocks to the system at once, so that the peak excludes the warm-up
        env={**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536', 'MALLOC_TRIM_THRESHOLD_': '65536'},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = done.stderr.strip() or f'exit status {done.returncode}'
        print(f'  peak memory not measured: {reason.splitlines()[-1]}', file=sys.stderr)
        return None
    return round(float(done.stdout.split()[-1]), 1)


def peak_of_this_process(candidate: dict) -> float:
    torch.set_num_threads(candidate['threads'])
    model, size = build(candidate), candidate['size']
    # exclude what libraries set up once; a compiled program is built for one size
    small = size if candidate['compile'] else [min(side, 64) for side in size]
    prepare(candidate, model, small)()
    step = prepare(candidate, model, size)
    if candidate['device'] == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / MIB
    Path('/proc/self/clear_refs').write_text('5')  # resets the peak to the current use
    before = _resident('VmRSS')
    step()
    return _resident('VmHWM') - before


def _resident(field: str) -> float:
    """Return a field of Linux's process status, in MiB."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def saved_mib(candidate: dict) -> float:
    """Return what autograd keeps from a training step's forward to its backward pass, in MiB.

    Counts distinct storages without parameters, buffers and the image; an operator's inputs count.
    Works on shapes alone: nothing is computed or allocated.
    """
    candidate = candidate | dict(mode='train', compile=False, device='cpu')
    with counting(), dispatch.mode(as_if_on='cpu'):
        return round(kept_bytes(candidate) / MIB, 1)


@contextmanager
def counting() -> Iterator[None]:
    """Give tensors shapes but no values."""
    with ExitStack() as stack:
        # strips in operators affect temporaries only, and would take time here
        for name, module in sys.modules.items():
            if name.startswith('backbones.ops.') and hasattr(module, 'STRIP'):
                stack.enter_context(mock.patch.object(module, 'STRIP', WHOLE))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield


def kept_bytes(candidate: dict) -> int:
    """Run the forward pass and add up the storages that its graph holds at the end."""
    model, inputs = build(candidate), draw_inputs(candidate, candidate['size'])
    given = () if 'op' in candidate else tensors_of(inputs)
    with running(candidate):
        return held_bytes(lambda: model(*inputs), (*model.parameters(), *model.buffers(), *given))


def held_bytes(forward: Callable[[], object], uncounted: Iterable[Tensor]) -> int:
    """Return the bytes of the distinct storages that the graph of `forward()` holds."""
    known = {_storage(x)._cdata for x in uncounted}
    kept: WeakSet[Callable[[], Tensor]] = WeakSet()  # loses what the graph releases

    def keep(x: Tensor) -> Callable[[], Tensor]:
        x = x.detach()  # a node that saves its own output would keep itself alive
        kept.add(give := lambda: x)
        return give

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda give: give()):
        outputs = forward()
    storages = {_storage(give())._cdata: _storage(give()) for give in kept}
    del outputs  # kept the graph alive until here
    return sum(storage.nbytes() for key, storage in storages.items() if key not in known)


def _storage(x: Tensor) -> torch.UntypedStorage:
    return x.untyped_storage()


if __name__ == '__main__':
    print(peak_of_this_process(json.loads(sys.argv[1])))
