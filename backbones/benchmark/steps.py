"""A step of a candidate: inference, or forward and backward without an optimizer."""

import contextlib
from collections.abc import Callable, Iterator

import torch

from backbones.benchmark.subjects import build
from backbones.ops import default_backend


def prepare(candidate: dict) -> Callable[[tuple[int, int]], Callable[[], None]]:
    """Build a candidate: a function of the size that returns what is to be timed."""
    torch.set_num_threads(candidate['threads'])
    torch.manual_seed(0)
    train = candidate['mode'] == 'train'
    ours, build_at = build(candidate)

    def at(size: tuple[int, int]) -> Callable[[], None]:
        run, inputs = build_at(size)

        def step() -> None:
            with running(candidate), torch.inference_mode(not train):
                out = run(*inputs)
            if train:
                out = out if isinstance(out, tuple | list) else (out,)
                with running(candidate, autocast=False):
                    sum(x.float().mean() for x in out).backward()
                for x in (*ours, *inputs):
                    x.grad = None
            if candidate['device'] == 'cuda':
                torch.cuda.synchronize()

        return step

    return at


@contextlib.contextmanager
def running(candidate: dict, *, autocast: bool = True) -> Iterator[None]:
    """Run by the candidate's backend and type of numbers."""
    backend = 'reference' if candidate['backend'] == 'reference' else 'auto'
    half = autocast and candidate['dtype'] == 'bfloat16'
    with (
        default_backend(backend),
        torch.autocast(candidate['device'], torch.bfloat16, enabled=half),
    ):
        yield
