#!/usr/bin/env python
"""Time backbones under torch.compile with Inductor's freezing: benchmarks/frozen.py [NAME ...].

Eager and compiled take turns in one process, in CPU time on one thread; the gain is the median of
eager's time divided by compiled's, pair by pair. Needs a C++ compiler.
"""

import statistics
import time
from collections.abc import Callable

import torch
from one_thread import asked

import backbones
from backbones.inference.folding import cast
from backbones.tables import table

PAIRS = 7


def seconds(step: Callable[[], object]) -> float:
    """Return the CPU time of one step."""
    start = time.process_time()
    step()
    return time.process_time() - start


def row(name: str, side: int, amp: bool) -> list:
    """Compare one backbone; see the module's docstring."""
    model = backbones.create(name).eval().to(memory_format=torch.channels_last)
    images = torch.randn(1, 3, side, side).to(memory_format=torch.channels_last)
    if amp:  # like `Predictor`
        cast(model)
    compiled = torch.compile(model, options=dict(freezing=True))  # like `Predictor`
    start = time.process_time()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=amp):
        compiled(images)
        took = time.process_time() - start
        model(images)
        pairs = [
            (seconds(lambda: model(images)), seconds(lambda: compiled(images)))
            for _ in range(PAIRS)
        ]
        worst = max(
            ((a - b).abs().max() / a.abs().max()).item()
            for a, b in zip(model(images), compiled(images), strict=True)
        )
    eager, other = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    gain = statistics.median(a / b for a, b in pairs)
    return [name, f'{eager:.0f}', f'{other:.0f}', f'{gain:.2f}', f'{took:.0f}', f'{worst:.0e}']


def main() -> None:
    args = asked(__doc__)
    head = ['backbone', 'eager, ms', 'compiled, ms', 'gain', 'compiling, s', 'difference']
    rows = []
    for name in args.names:
        rows.append(row(name, args.side, args.amp))
        print(*rows[-1], flush=True)
    print(table(head, rows))


if __name__ == '__main__':
    main()
