#!/usr/bin/env python
"""Time backbones and operators: tools/benchmark.py dilateformer_t --size 512 512 --json FILE.

The candidates of a setting run in turns (A B A B ...) in one process, so that their ratios hold on
a busy machine. Peak memory is measured in a process of its own for each candidate, above the level
before the forward pass. A training step is forward and backward, without an optimizer.

Without time: --memory, what autograd keeps of a training step, of every variant by default.
The data path: --data CONFIG, images/s of its pipelines; --evaluation IMAGES, of COCO detections.
"""

import argparse
import difflib
import itertools
import json
from collections.abc import Callable
from pathlib import Path

DTYPES = ('float32', 'bfloat16')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    names = 'of backbones.list_backbones(), of a peer (timm_swin_t, timm_convnext_t, '
    names += 'mmdet_resnet50, mmdet_swin_t), or a config: the whole model, with random weights'
    add('names', nargs='*', metavar='NAME', help=names)
    add('--op', nargs='+', default=[], metavar='OP', help="operators of backbones/ops, or 'all'")
    size = 'in pixels, of operators in cells; may be repeated; default 512 512'
    add('--size', nargs=2, type=int, action='append', metavar=('H', 'W'), help=size)
    add('--backends', nargs='+', choices=('reference', 'auto'), default=['reference', 'auto'])
    add('--batch', nargs='+', type=int, default=[1], help='images at a time')
    add('--modes', nargs='+', choices=('inference', 'train'), default=['inference'])
    add('--dtypes', nargs='+', choices=DTYPES, default=['float32'], help='bfloat16: autocast')
    add('--runs', nargs='+', choices=('eager', 'compiled'), default=['eager'])
    add('--channels-last', action='store_true', help='images and weights in that memory format')
    add('--with-cp', action='store_true', help='recompute blocks in the backward pass')
    add('--threads', nargs='+', type=int, default=[1], help='of the CPU')
    add('--repeats', type=int, default=5, help='timed runs of each candidate, after one untimed')
    few = 'timed runs of the reference, if fewer; its untimed run is then on a small image'
    add('--reference-repeats', type=int, metavar='N', help=few)
    add('--no-peak', action='store_true', help='do not measure peak memory')
    add('--device', choices=('cpu', 'cuda'), default='cpu')
    add('--memory', action='store_true', help='MiB that autograd keeps, also with with_cp')
    add('--data', nargs='+', default=[], metavar='CONFIG', help='time the pipelines of configs')
    root = "where the data is; 'invented' makes up images of COCO's size and layout"
    add('--data-root', metavar='DIR', help=root)
    add('--workers', type=int, help="processes that load data; default: the config's")
    add('--images', type=int, default=100, help='for --data: how many are timed')
    add('--evaluation', type=int, metavar='IMAGES', help='FasterCocoMetric against pycocotools')
    add('--masks', action='store_true', help='for --evaluation: masks beside boxes')
    add('--json', type=Path, metavar='FILE', help='also write the results there')
    args = parser.parse_args()
    args.size = args.size or [[512, 512]]
    check(parser, args)
    return args


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a message if the arguments make no sense, before anything is measured."""
    if not (args.names or args.op or args.memory or args.data or args.evaluation is not None):
        parser.error('nothing to measure: give names of backbones, --op, --memory, --data, ...')
    numbers = (*args.batch, *args.threads, args.repeats, *itertools.chain(*args.size), args.images)
    numbers += tuple(n for n in (args.reference_repeats, args.evaluation) if n is not None)
    if min(numbers) < 1:
        parser.error(f'{min(numbers)} given; sizes, batches, threads and repeats start at 1')
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f'--json is {args.json}; there is no folder {args.json.parent}')
    if args.names or args.op or args.memory:
        from backbones import list_backbones  # imported late: --help must answer at once
        from backbones.benchmark.subjects import OPS, PEERS

        args.op = list(OPS) if args.op == ['all'] else args.op
        require(parser, 'operator', args.op, OPS)
        every = [name for name in list_backbones() if not name.endswith('_384')]
        named = [name for name in args.names if args.memory or not name.endswith('.py')]
        require(parser, 'backbone', named, [*list_backbones(), *PEERS])
        args.names = args.names or (every if args.memory else [])
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


def settings(args: argparse.Namespace) -> list[list[dict]]:
    """The candidates, those together whose ratios are of interest."""
    from backbones.benchmark.subjects import PEERS

    subjects = [{'config' if n.endswith('.py') else 'backbone': n} for n in args.names]
    subjects += [dict(op=name) for name in args.op]
    groups = []
    for batch, mode, dtype, threads in itertools.product(
        args.batch, args.modes, args.dtypes, args.threads
    ):
        common = dict(batch=batch, mode=mode, dtype=dtype, threads=threads, device=args.device)
        common |= dict(channels_last=args.channels_last)
        groups.append([])
        for subject, size, run in itertools.product(subjects, args.size, args.runs):
            peer = subject.get('backbone') in PEERS
            ways = [(b, args.with_cp) for b in (['peer'] if peer else args.backends)]
            if args.memory and 'backbone' in subject and not peer:
                ways = [*((b, False) for b in args.backends), ('auto', True)]
            groups[-1] += [
                subject
                | dict(backend=backend, with_cp=with_cp, size=size, compile=run == 'compiled')
                | common
                for backend, with_cp in ways
            ]
    return groups


def measure(args: argparse.Namespace, candidates: list[dict]) -> list[dict]:
    from backbones.benchmark import memory, timing

    if not args.memory:
        few = args.reference_repeats
        return timing.measure(
            candidates, args.repeats, reference_repeats=few, peaks=not args.no_peak
        )
    results = []
    for candidate in candidates:
        timing.say(f'  {timing.describe(candidate)}{" with_cp" * candidate["with_cp"]}')
        mib = memory.saved_mib(candidate)
        results.append(candidate | dict(mode='train', saved_mib=mib))
    timing.add_ratios(results)
    return results


def measure_data(args: argparse.Namespace, add: Callable[[list[dict]], None]) -> None:
    from backbones.benchmark import data

    for path in args.data:
        rates = data.pipeline(
            path, data_root=args.data_root, workers=args.workers, images=args.images
        )
        add(rates)
        for rate in rates:
            print(
                f'{path}: {rate["images_per_s"]} images/s in {rate["mode"]} '
                f'(batches of {rate["batch"]}, {rate["workers"]} workers)'
            )
    if args.evaluation:
        results = data.evaluation(args.evaluation, masks=args.masks)
        add(results)
        for result in results:
            print(f'{result["backend"]}: {result["seconds"]} s, {result["metrics"]}')
        print(f'average precisions {"agree" if results[0]["agree"] else "DIFFER"}')


def main() -> None:
    args = parse_args()
    from backbones.engine.config import plain_errors

    from backbones.benchmark import timing

    report = dict(machine=timing.machine(args.device), results=[])

    def add(results: list[dict]) -> None:
        report['results'] += results
        if args.json:  # after each setting: a long run that is cut off leaves what it has
            args.json.write_text(json.dumps(report, indent=1) + '\n')

    with plain_errors():
        for candidates in settings(args) if args.names or args.op else ():
            add(measure(args, candidates))
        if report['results']:
            print(timing.table(report['results']))
        if args.data or args.evaluation:
            measure_data(args, add)


if __name__ == '__main__':
    main()
