"""Time candidates in turns (A B A B ...), so that their ratios hold on a busy machine."""

import sys
import timeit

import numpy as np
import torch
from memory import peak_mib, saved_mib
from subjects import build, count_macs, count_parameters, kind_of, prepare
from torch.utils import benchmark

RATIOS = dict(median_ms='time_ratio', peak_mib='peak_ratio', saved_mib='saved_ratio')


def measure(
    candidates: list[dict],
    repeats: int,
    *,
    plain_repeats: int | None = None,
    peaks: bool = True,
    train_peaks: bool = False,
) -> list[dict]:
    """Time candidates in turns, then measure the memory of each.

    Args:
        candidates: see `subjects`; all with the same number of threads.
        repeats: timed runs of each, after one untimed run; 0 only counts saved memory.
        plain_repeats: timed runs of candidates with backend 'plain', spread over the turns; if
            fewer than `repeats`, their untimed run uses a small image.
        peaks: whether to measure peak memory.
        train_peaks: whether to measure an untimed training step's peak memory, too.

    Returns:
        The candidates with their measurements.
    """
    results = [dict(candidate) for candidate in candidates]
    for result, times in zip(results, in_turns(candidates, repeats, plain_repeats or repeats)):
        result |= numbers(result, times)
    for result, candidate in zip(results, candidates):
        if repeats and peaks:
            result['peak_mib'] = peak_mib(candidate)
            say(candidate, f'peak {result["peak_mib"]} MiB')
        if train_peaks:
            result['train_peak_mib'] = peak_mib(candidate | dict(mode='train'))
            say(candidate, f'peak in training {result["train_peak_mib"]} MiB')
        ours = 'config' not in candidate and candidate['backend'] != 'peer'
        if ours and candidate['mode'] == 'train':
            result['saved_mib'] = saved_mib(candidate)
            say(candidate, f'saved {result["saved_mib"]} MiB')
    add_ratios(results)
    return results


def in_turns(candidates: list[dict], repeats: int, few: int) -> list[benchmark.Measurement]:
    torch._dynamo.reset()
    torch.set_num_threads(candidates[0]['threads'])
    runs = []
    for candidate in candidates if repeats else ():
        count = min(few, repeats) if candidate['backend'] == 'plain' else repeats
        model, size = build(candidate), candidate['size']
        step = prepare(candidate, model, size)
        small = count < repeats and not candidate['compile']
        (prepare(candidate, model, [min(side, 64) for side in size]) if small else step)()
        runs.append((candidate, step, count, []))
    for turn in range(repeats):
        for candidate, step, count, times in runs:
            if (turn + 1) * count // repeats > turn * count // repeats:
                # benchmark.Timer would add two runs of a step, and a reference takes half a minute
                times.append(timeit.Timer(step, timer=benchmark.timer).timeit(1))
                say(candidate, f'{times[-1] * 1e3:.0f} ms')
    spec = benchmark.TaskSpec('step()', '')
    return [benchmark.Measurement(1, times, spec) for *_, times in runs]


def numbers(candidate: dict, times: benchmark.Measurement) -> dict:
    """Return median, spread and rates; multiply-adds are the forward pass's for one image."""
    kind, per_image = kind_of(candidate), times.median / candidate['batch']
    macs = count_macs(kind, candidate[kind], tuple(candidate['size']))
    found = dict(median_ms=times.median * 1e3, iqr_ms=times.iqr * 1e3)
    low, high = np.quantile(times.times, (0.25, 0.75)) * 1e3
    found |= dict(low_ms=low, high_ms=high)
    found |= dict(images_per_s=1 / per_image, gmacs=macs / 1e9)
    if kind == 'backbone':
        found['params'] = count_parameters(candidate[kind])
    if candidate['mode'] == 'inference' and macs:
        found |= dict(ns_per_mac=per_image * 1e9 / macs, gflops=2 * macs / per_image / 1e9)
    rounded = {
        key: value if key == 'params' else float(f'{value:.6g}') for key, value in found.items()
    }
    return dict(repeats=len(times.times), **rounded)


def add_ratios(results: list[dict]) -> None:
    """Add each result's share of its reference's time and memory, and of its eager time.

    The range of a time ratio follows from the quartiles: low by high to high by low.
    """

    def key(result: dict, **changes: object) -> tuple:
        result = result | changes
        return result[kind_of(result)], *result['size'], result['backend'], result['compile']

    of = {key(r): r for r in results}
    for result in results:
        base = of.get(key(result, backend='plain'), {})
        for number, ratio in RATIOS.items():
            if number in result:
                known = base.get(number) and result[number] is not None
                result[ratio] = round(result[number] / base[number], 3) if known else None
        if 'low_ms' in result and 'low_ms' in base:
            ends = result['low_ms'] / base['high_ms'], result['high_ms'] / base['low_ms']
            result['time_ratio_range'] = [round(end, 3) for end in ends]
        eager = of.get(key(result, compile=False))
        if eager and result['compile']:
            result['compile_ratio'] = round(result['median_ms'] / eager['median_ms'], 3)


def say(candidate: dict, what: str) -> None:
    name, way = candidate[kind_of(candidate)], candidate['backend']
    way += ' compiled' * candidate['compile'] + ' with_cp' * candidate['with_cp']
    print(f'  {name} {way} {candidate["size"]}: {what}', file=sys.stderr)
