#!/usr/bin/env python
"""Time backbones of two checkouts in turns: benchmarks/pairs.py OTHER_CHECKOUT [NAME ...].

One process per checkout computes the same steps in turn, in CPU time on one thread; the ratio is
this checkout's time to the other's, pair by pair. It also shows which share of a pass on 224x224
pixels goes into choosing among forms.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
import timeit
from pathlib import Path

HERE = Path(__file__).absolute().parent.parent
NAMES = ('dilateformer_t', 'cswin_t', 'volo_d1', 'moganet_t', 'cloformer_xs')
SECONDS = 0.4  # minimum per turn
WORKER = '--worker'


def work(name: str, mode: str, side: int) -> None:
    """For each line of standard input, run that many steps and print the seconds per step."""
    import torch

    import backbones

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = backbones.create(name).train(mode == 'train')
    images = torch.randn(1, 3, side, side)

    def step() -> None:
        if mode != 'train':
            with torch.inference_mode():
                model(images)
            return
        sum(level.float().mean() for level in model(images)).backward()
        for parameter in model.parameters():
            parameter.grad = None

    step()
    print('ready', flush=True)
    for line in sys.stdin:
        start = time.process_time()
        for _ in range(int(line)):
            step()
        print((time.process_time() - start) / int(line), flush=True)


def start(root: Path, *words: str) -> subprocess.Popen:
    worker = subprocess.Popen(
        [sys.executable, __file__, WORKER, *words],
        cwd=root,
        env={**os.environ, 'PYTHONPATH': str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    while (line := worker.stdout.readline()) != 'ready\n':
        if not line:
            sys.exit(f'error: {root} cannot run {" ".join(words)}')
    return worker


def ask(worker: subprocess.Popen, steps: int) -> float:
    worker.stdin.write(f'{steps}\n')
    worker.stdin.flush()
    return float(worker.stdout.readline())


def compare(other: Path, name: str, mode: str, side: int, turns: int) -> list[str]:
    """Return a row: medians of both in ms, and the ratio's median and quartiles."""
    pair = [start(root, name, mode, str(side)) for root in (other, HERE)]
    steps = max(1, round(SECONDS / ask(pair[0], 1)))
    seconds: list[list[float]] = [[], []]
    for turn in range(turns):
        for i in (0, 1) if turn % 2 else (1, 0):
            seconds[i].append(ask(pair[i], steps))
    for worker in pair:
        worker.stdin.close()
        worker.wait()
    ratios = [after / before for before, after in zip(*seconds)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    before, after = (f'{statistics.median(s) * 1e3:.0f}' for s in seconds)
    return [name, mode, str(side), before, after, f'{middle:.3f}', f'{low:.3f} to {high:.3f}']


def asking(name: str) -> list[str]:
    """Return the share of a pass that goes into choosing the form of each part."""
    import torch

    import backbones
    from backbones.ops import dispatch

    torch.set_num_threads(1)
    model, images = backbones.create(name).eval(), torch.randn(1, 3, 224, 224)
    parts = [m for m in model.modules() if hasattr(type(m).forward, 'operators')]

    def ask_all() -> None:
        for part in parts:
            dispatch.is_fast_for(part, images, type(part).forward.operators)

    with torch.inference_mode():
        asked = min(timeit.repeat(ask_all, number=100, repeat=5)) / 100
        whole = min(timeit.repeat(lambda: model(images), number=1, repeat=5))
    return [
        name,
        str(len(parts)),
        f'{asked * 1e3:.2f}',
        f'{whole * 1e3:.1f}',
        f'{asked / whole:.2%}',
    ]


def main() -> None:
    if sys.argv[1:2] == [WORKER]:
        name, mode, side = sys.argv[2:]
        return work(name, mode, int(side))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('other', type=Path, help='another checkout, such as a git worktree')
    parser.add_argument('names', nargs='*', default=NAMES, metavar='NAME')
    parser.add_argument('--modes', nargs='+', default=('inference', 'train'))
    parser.add_argument('--side', type=int, default=512, help='side of the image in pixels')
    parser.add_argument('--turns', type=int, default=9)
    args = parser.parse_args()
    from backbones.tables import table

    rows = [
        compare(args.other.absolute(), name, mode, args.side, args.turns)
        for name in args.names
        for mode in args.modes
    ]
    head = ('backbone', 'mode', 'pixels', 'other, ms', 'this, ms', 'ratio', 'quartiles')
    print(table(head, rows), end='\n\n')
    head = ('backbone', 'parts', 'choosing, ms', 'pass, ms', 'share')
    print(table(head, [asking(name) for name in ('cloformer_xxs', *args.names)]))


if __name__ == '__main__':
    main()
