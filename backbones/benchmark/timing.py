"""Timing candidates in turns, so that their ratios hold on a busy machine."""

import os
import platform
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from backbones.benchmark import memory
from backbones.benchmark.steps import prepare
from backbones.benchmark.subjects import count_macs, name_of

COLUMNS = (
    *('name', 'backend', 'compile', 'with_cp', 'mode', 'size', 'batch', 'dtype', 'threads'),
    *('repeats', 'median_ms', 'iqr_ms', 'images_per_s', 'gmacs', 'ns_per_mac', 'gflops'),
    *('peak_mib', 'saved_mib', 'time_ratio', 'peak_ratio', 'saved_ratio', 'compile_ratio'),
)
RATIOS = (('time_ratio', 'median_ms'), ('peak_ratio', 'peak_mib'), ('saved_ratio', 'saved_mib'))


def measure(
    candidates: list[dict],
    repeats: int,
    *,
    reference_repeats: int | None = None,
    peaks: bool = True,
) -> list[dict]:
    """Time candidates in turns, then measure the memory of each.

    Args:
        candidates: see `subjects`; all with the same number of threads.
        repeats: timed runs of each, after one untimed.
        reference_repeats: timed runs of those with backend 'reference', spread over the turns; if
            fewer than `repeats`, their untimed run is on a small image.
        peaks: whether to measure peak memory.

    Returns:
        The candidates with their numbers.
    """
    torch._dynamo.reset()
    times = time_in_turns(candidates, repeats, reference_repeats or repeats)
    results = [dict(c, **summary(c, mine)) for c, mine in zip(candidates, times)]
    at_once = max((os.cpu_count() or 1) // candidates[0]['threads'], 1)
    with ThreadPoolExecutor(min(at_once, 2)) as pool:
        found = pool.map(memory.peak_mib, candidates if peaks else [])
        for result, value in zip(results, found):
            result['peak_mib'] = value if isinstance(value, float) else None
            if isinstance(value, str):
                say(f'  {name_of(result)}: peak memory not measured: {value}')
    for result in results:
        if result['mode'] == 'train' and 'config' not in result and result['backend'] != 'peer':
            result['saved_mib'] = memory.saved_mib(result)
    add_ratios(results)
    return results


def time_in_turns(candidates: list[dict], repeats: int, few: int) -> list[list[float]]:
    """The times of each candidate, in ms."""
    prepared = [prepare(c) for c in candidates]
    steps = [at(tuple(c['size'])) for at, c in zip(prepared, candidates)]
    counts = [min(few, repeats) if c['backend'] == 'reference' else repeats for c in candidates]
    for candidate, at, step, count in zip(candidates, prepared, steps, counts):
        small = count < repeats and not candidate['compile']
        at(tuple(min(s, 64) for s in candidate['size']))() if small else step()
        say(f'  warm: {describe(candidate)}')
    times = [[] for _ in steps]
    for i in range(repeats):
        for candidate, step, count, mine in zip(candidates, steps, counts, times):
            if (i + 1) * count // repeats == i * count // repeats:
                continue  # not its turn
            start = time.perf_counter()
            step()
            mine.append((time.perf_counter() - start) * 1e3)
            say(f'  {i + 1}/{repeats} {describe(candidate)}: {mine[-1]:.0f} ms')
    return times


def summary(candidate: dict, times: list[float]) -> dict:
    """Median, spread and rates. The multiply-adds are the forward pass's, for one image."""
    median, batch = statistics.median(times), candidate['batch']
    low, _, high = statistics.quantiles(times, n=4, method='inclusive') if times[1:] else [0] * 3
    macs = count_macs(candidate)
    found = dict(
        repeats=len(times),
        median_ms=median,
        iqr_ms=high - low,
        images_per_s=batch * 1e3 / median,
        gmacs=macs / 1e9,
    )
    if candidate['mode'] == 'inference' and macs:
        found['ns_per_mac'] = median * 1e6 / (macs * batch)
        found['gflops'] = 2 * macs * batch / (median * 1e6)
    return {key: float(f'{value:.6g}') for key, value in found.items()} | dict(repeats=len(times))


def add_ratios(results: list[dict]) -> None:
    """Add each result's share of its reference's time and memory, and of its eager time."""

    def key(result: dict, *more: object) -> tuple:
        return name_of(result), *result['size'], *more

    published = {key(r, r['compile']): r for r in results if r['backend'] == 'reference'}
    eager = {key(r, r['backend']): r for r in results if not r['compile']}
    for result in results:
        base = published.get(key(result, result['compile']), {})
        for ratio, number in RATIOS:
            if number in result:
                known = base.get(number) and result[number] is not None
                result[ratio] = round(result[number] / base[number], 3) if known else None
        base = eager.get(key(result, result['backend'])) if result['compile'] else None
        if base:
            result['compile_ratio'] = round(result['median_ms'] / base['median_ms'], 3)


def describe(candidate: dict) -> str:
    size = 'x'.join(map(str, candidate['size']))
    compiled = ' compiled' if candidate['compile'] else ''
    return f'{name_of(candidate)} {candidate["backend"]}{compiled} {size}'


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def machine(device: str) -> dict:
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
    """The results in columns; one that is empty is left out."""
    rows = []
    for result in results:
        row = result | dict(name=name_of(result), size='x'.join(map(str, result['size'])))
        rows.append(['-' if row.get(c) is None else str(row[c]) for c in COLUMNS])
    columns = [(c, *values) for c, *values in zip(COLUMNS, *rows) if set(values) - {'-', 'False'}]
    widths = [max(map(len, column)) for column in columns]
    return '\n'.join(
        '  '.join(v.ljust(w) for v, w in zip(row, widths)).rstrip() for row in zip(*columns)
    )
