#!/usr/bin/env python
"""Time backbones and operators: tools/benchmark.py dilateformer_t --size 512 512 --json FILE.

The candidates of a setting run in turns (A B A B ...) in one process, so that their ratios hold on
a busy machine. Peak memory is measured in a process of its own for each candidate, above the level
before the forward pass. A training step is forward and backward, without an optimizer.
"""

import argparse
import difflib
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

OPS = (
    *('attention', 'cross_shaped_attention', 'depthwise_conv'),
    *('dilated_attention', 'outlook_attention', 'pointwise'),
)
DTYPES = ('float32', 'bfloat16')
SETTING = ('size', 'batch', 'mode', 'dtype', 'threads')
COLUMNS = (
    *('name', 'backend', 'mode', 'size', 'batch', 'dtype', 'threads', 'median_ms', 'iqr_ms'),
    *('images_per_s', 'peak_mib', 'time_ratio', 'peak_ratio'),
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('names', nargs='*', metavar='NAME', help='names of backbones.list_backbones()')
    add('--op', nargs='+', default=[], metavar='OP', help=f'operators: {", ".join(OPS)}')
    size = 'in pixels, of operators in cells; may be repeated; default 512 512'
    add('--size', nargs=2, type=int, action='append', metavar=('H', 'W'), help=size)
    add('--backends', nargs='+', choices=('reference', 'auto'), default=['reference', 'auto'])
    add('--batch', nargs='+', type=int, default=[1], help='images at a time')
    add('--modes', nargs='+', choices=('inference', 'train'), default=['inference'])
    add('--dtypes', nargs='+', choices=DTYPES, default=['float32'], help='bfloat16: autocast')
    add('--compile', action='store_true', help='run by torch.compile')
    add('--channels-last', action='store_true', help='images and weights in that memory format')
    add('--threads', nargs='+', type=int, default=[1], help='of the CPU')
    add('--repeats', type=int, default=5, help='timed runs of each candidate, after one untimed')
    add('--device', choices=('cpu', 'cuda'), default='cpu')
    add('--json', type=Path, metavar='FILE', help='also write the results there')
    add('--peak-of', type=json.loads, help=argparse.SUPPRESS)  # the process of one candidate
    args = parser.parse_args()
    args.size = args.size or [[512, 512]]
    if not args.peak_of:
        check(parser, args)
    return args


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a message if the arguments make no sense, before anything is measured."""
    if not args.names and not args.op:
        parser.error('nothing to measure: give names of backbones, or --op')
    numbers = (*args.batch, *args.threads, args.repeats, *itertools.chain(*args.size))
    if min(numbers) < 1:
        parser.error(f'{min(numbers)} given; sizes, batches, threads and repeats start at 1')
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f'--json is {args.json}; there is no folder {args.json.parent}')
    require(parser, 'operator', args.op, OPS)
    if args.names:
        from backbones import list_backbones  # imported late: --help must answer at once

        require(parser, 'backbone', args.names, list_backbones())
    if args.device == 'cuda':
        import torch

        if not torch.cuda.is_available():
            parser.error('--device is cuda, but PyTorch sees no GPU; allowed here: cpu')


def require(parser: argparse.ArgumentParser, kind: str, names: list[str], allowed: list) -> None:
    for name in names:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            hint = f'; did you mean {close[0]!r}?' if close else ''
            parser.error(f'no {kind} {name!r}; allowed: {", ".join(allowed)}{hint}')


def prepare(candidate: dict) -> Callable[[tuple[int, int]], Callable[[], None]]:
    """Build a candidate: a function of the size that returns what is to be timed."""
    import torch

    from backbones import create
    from backbones.ops import default_backend

    torch.set_num_threads(candidate['threads'])
    torch.manual_seed(0)
    train, device = candidate['mode'] == 'train', candidate['device']
    layout = torch.channels_last if candidate['channels_last'] else torch.contiguous_format
    if 'op' in candidate:
        forward, parameters = None, ()
    else:
        forward = create(candidate['backbone']).train(train)
        forward = forward.to(device, memory_format=layout)
        parameters = tuple(forward.parameters())
        forward = torch.compile(forward) if candidate['compile'] else forward

    def at(size: tuple[int, int]) -> Callable[[], None]:
        if 'op' in candidate:
            run, inputs = operator(candidate['op'], candidate['batch'], *size)
            run = torch.compile(run) if candidate['compile'] else run
            inputs = [x.to(device).requires_grad_(train) for x in inputs]
        else:
            run = forward
            images = torch.randn(candidate['batch'], 3, *size, device=device)
            inputs = [images.contiguous(memory_format=layout)]

        def step() -> None:
            half = candidate['dtype'] == 'bfloat16'
            with (
                default_backend(candidate['backend']),
                torch.inference_mode(not train),
                torch.autocast(device, torch.bfloat16, enabled=half),
            ):
                out = run(*inputs)
            if train:
                out = out if isinstance(out, tuple) else (out,)
                with default_backend(candidate['backend']):
                    sum(x.float().mean() for x in out).backward()
                for x in (*parameters, *inputs):
                    x.grad = None
            if device == 'cuda':
                torch.cuda.synchronize()

        return step

    return at


def operator(name: str, B: int, H: int, W: int) -> tuple[Callable, list]:
    """An operator as the smallest variants use it in their first stage, and its inputs."""
    from functools import partial
    from importlib import import_module

    from torch import randn

    run = getattr(import_module(f'backbones.ops.{name}'), name)
    if name == 'attention':
        return run, [randn(B, 12, H * W, 24) for _ in range(3)]
    if name == 'dilated_attention':
        return partial(run, heads=3), [randn(B, H, W, 72) for _ in range(3)]
    if name == 'outlook_attention':
        logits = randn(B, (H + 1) // 2, (W + 1) // 2, 6 * 81)
        return partial(run, heads=6), [logits, randn(B, H, W, 192)]
    if name == 'cross_shaped_attention':

        def stripes(qkv, *lepe):
            return run(qkv, [lepe[:2], lepe[2:]], heads=2, stripe=1)

        return stripes, [randn(B, H, W, 192), *(randn(32, 1, 3, 3), randn(32)) * 2]
    if name == 'depthwise_conv':
        return partial(run, dilation=3), [randn(B, 32, H, W), randn(32, 1, 7, 7), randn(32)]
    return run, [randn(B, 64, H, W), randn(256, 64, 1, 1), randn(256)]


def print_peak(candidate: dict) -> None:
    """Print how far one pass raises this process's memory, in MiB."""
    import torch

    at = prepare(candidate)
    size = tuple(candidate['size'])
    # what libraries set up once is no part of it; a compiled program is made for one size
    at(size if candidate['compile'] else tuple(min(s, 64) for s in size))()
    step = at(size)
    if candidate['device'] == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
        step()
        return print(torch.cuda.max_memory_allocated() / 2**20 - before)
    Path('/proc/self/clear_refs').write_text('5')  # lowers the high-water mark to what is in use
    before = resident('VmRSS')
    step()
    return print(resident('VmHWM') - before)


def resident(field: str) -> float:
    """A field of Linux's process status, in MiB."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def peak(candidate: dict) -> float | None:
    """Peak memory of a candidate in MiB; None, with a message, where it cannot be measured."""
    done = subprocess.run(
        [sys.executable, __file__, '--peak-of', json.dumps(candidate)],
        # freed blocks go back at once, so that the peak holds no trace of the warm-up
        env={**os.environ, 'MALLOC_MMAP_THRESHOLD_': '65536', 'MALLOC_TRIM_THRESHOLD_': '65536'},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1]
        say(f'  peak memory not measured: {reason}')
        return None
    return round(float(done.stdout.split()[-1]), 1)


def measure(candidates: list[dict], repeats: int) -> list[dict]:
    """Time candidates in turns, then measure the peak memory of each."""
    steps = [prepare(c)(tuple(c['size'])) for c in candidates]
    times = [[] for _ in steps]
    for i in range(repeats + 1):
        for candidate, step, mine in zip(candidates, steps, times):
            start = time.perf_counter()
            step()
            if i:  # the first run warms up, or compiles
                mine.append((time.perf_counter() - start) * 1e3)
            say(f'  {i}/{repeats} {name_of(candidate)} {candidate["backend"]}')
    del steps
    results = []
    for candidate, mine in zip(candidates, times):
        median = statistics.median(mine)
        low, _, high = statistics.quantiles(mine, n=4, method='inclusive') if mine[1:] else [0] * 3
        numbers = dict(median_ms=median, iqr_ms=high - low)
        numbers['images_per_s'] = candidate['batch'] * 1e3 / median
        numbers = {key: round(value, 3) for key, value in numbers.items()}
        results.append(candidate | numbers | dict(peak_mib=peak(candidate)))
    add_ratios(results)
    return results


def add_ratios(results: list[dict]) -> None:
    """Add each result's share of its reference's time and memory, None where there is none."""
    published = {name_of(r): r for r in results if r['backend'] == 'reference'}
    for result in results:
        base = published.get(name_of(result), {})
        for ratio, key in (('time_ratio', 'median_ms'), ('peak_ratio', 'peak_mib')):
            known = base.get(key) and result[key] is not None
            result[ratio] = round(result[key] / base[key], 3) if known else None


def name_of(candidate: dict) -> str:
    return candidate.get('op') or candidate['backbone']


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def machine(device: str) -> dict:
    import torch

    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(': ')[1] for line in lines if line.startswith('model name')]
    return dict(
        cpu=models[0] if models else platform.processor(),
        cores=os.cpu_count(),
        load=os.getloadavg()[0],
        gpu=torch.cuda.get_device_name() if device == 'cuda' else None,
        system=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
    )


def table(results: list[dict]) -> str:
    rows = [COLUMNS]
    for result in results:
        row = result | dict(name=name_of(result), size='x'.join(map(str, result['size'])))
        rows.append(tuple('-' if row[c] is None else str(row[c]) for c in COLUMNS))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return '\n'.join('  '.join(v.ljust(w) for v, w in zip(row, widths)).rstrip() for row in rows)


def main() -> None:
    args = parse_args()
    if args.peak_of:
        return print_peak(args.peak_of)
    import torch._dynamo

    torch._dynamo.config.recompile_limit = 64  # candidates share their code, not their programs
    subjects = [dict(backbone=name) for name in args.names] + [dict(op=name) for name in args.op]
    common = {key: getattr(args, key) for key in ('compile', 'channels_last', 'device')}
    report = dict(machine=machine(args.device), results=[])
    for values in itertools.product(args.size, args.batch, args.modes, args.dtypes, args.threads):
        setting = dict(zip(SETTING, values))
        say(', '.join(f'{k} {v}' for k, v in setting.items()))
        pairs = itertools.product(subjects, args.backends)
        candidates = [subject | dict(backend=b) | setting | common for subject, b in pairs]
        report['results'] += measure(candidates, args.repeats)
        if args.json:  # after each setting: a long run that is cut off leaves what it has
            args.json.write_text(json.dumps(report, indent=1) + '\n')
    print(table(report['results']))


if __name__ == '__main__':
    main()
