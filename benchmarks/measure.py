#!/usr/bin/env python
"""Time backbones and operators: benchmarks/measure.py dilateformer_t --size 512 512 --json FILE.

The candidates of a setting run in turns (A B A B ...) in one process, so that their ratios hold on
a busy machine. Peak memory is measured in a separate process for each candidate, above the level
before the forward pass. A training step is forward and backward, without an optimizer.

Without timing, by default for every variant: --memory, what autograd keeps of a training step;
--cards, the GPU memory that a training step of Mask R-CNN needs. With --iteration, the parts of a
training iteration of whole models: data, backbone, neck and heads, optimizer.
"""

import argparse
import json
import os
import platform
import re
from collections.abc import Collection, Iterator
from itertools import product
from pathlib import Path


def parse_args(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    names = 'from backbones.list_backbones(), a peer (timm_swin_t, timm_convnext_t, '
    names += 'mmdet_resnet50, mmdet_swin_t), timm:NAME, or a config: the whole model with random '
    names += 'weights'
    add('names', nargs='*', metavar='NAME', help=names)
    add('--op', nargs='+', default=[], metavar='OP', help="operators of backbones/ops, or 'all'")
    size = 'in pixels, for operators in cells; may be repeated; default 512 512'
    add('--size', nargs=2, type=positive, action='append', metavar=('H', 'W'), help=size)
    add('--backends', nargs='+', choices=('plain', 'auto'), default=['plain', 'auto'])
    add('--batch', nargs='+', type=positive, default=[1], help='images at a time')
    add('--modes', nargs='+', choices=('inference', 'train'), default=['inference'])
    dtypes = ('float32', 'bfloat16')
    add('--dtypes', nargs='+', choices=dtypes, default=['float32'], help='bfloat16: autocast')
    add('--runs', nargs='+', choices=('eager', 'compiled'), default=['eager'])
    add('--channels-last', action='store_true', help='use this format for images and weights')
    add('--with-cp', action='store_true', help='recompute blocks in the backward pass')
    add('--threads', nargs='+', type=positive, default=[1], help='CPU threads')
    repeats = 'timed runs of each candidate, after one untimed run'
    add('--repeats', type=positive, default=5, help=repeats)
    few = 'timed runs of the reference, if fewer; its untimed run then uses a small image'
    add('--plain-repeats', type=positive, metavar='N', help=few)
    add('--no-peak', action='store_true', help='do not measure peak memory')
    add('--train-peak', action='store_true', help='also measure the peak memory of a training step')
    add('--device', choices=('cpu', 'cuda'), default='cpu')
    add('--memory', action='store_true', help='count MiB kept by autograd instead of timing')
    add('--cards', action='store_true', help='count MiB of a Mask R-CNN step instead of timing')
    parts = 'time the parts of a training iteration of configs, with their batch for one GPU'
    add('--iteration', action='store_true', help=parts)
    add('--json', type=Path, metavar='FILE', help='also write the results to FILE')
    args = parser.parse_args(words)
    if not (args.names or args.op or args.memory or args.cards):
        parser.error('nothing to measure: give names of backbones, --op, --memory or --cards')
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f'--json is {args.json}; the folder {args.json.parent} does not exist')
    if args.iteration and (args.op or not all(name.endswith('.py') for name in args.names)):
        parser.error('--iteration takes configs: files that end in .py')
    if not args.iteration:
        complete(parser, args)
    return args


def positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text} given; allowed: at least 1')
    return int(text)


def complete(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Fill in what depends on other arguments; exit with a message if a name is unknown."""
    from operators import OPERATORS  # imported late: --help must answer at once
    from subjects import PEERS

    from backbones import list_backbones
    from backbones.errors import did_you_mean

    def require(kind: str, names: list[str], allowed: Collection[str]) -> None:
        for name in [name for name in names if name not in allowed]:
            hint = did_you_mean(name, allowed)
            parser.error(f'no {kind} {name!r}; allowed: {", ".join(allowed)}{hint}')

    known = list_backbones()
    args.op = list(OPERATORS) if args.op == ['all'] else args.op
    args.size = args.size or [[512, 512]]
    require('operator', args.op, OPERATORS)
    if not (args.memory or args.cards):
        named = [name for name in args.names if not name.endswith('.py') and ':' not in name]
        return require('backbone', named, [*known, *PEERS])
    require('backbone', args.names, known)
    args.modes, args.runs, args.repeats = ['train'], ['eager'], 0
    if not (args.names or args.op):
        args.names = [name for name in known if not name.endswith('_384')]


def settings(args: argparse.Namespace) -> list[list[dict]]:
    """Group the candidates whose ratios matter."""
    from subjects import is_peer

    def ways(subject: dict) -> list[dict]:
        backends = ['peer'] if is_peer(subject.get('backbone')) else args.backends
        found = [dict(backend=backend, with_cp=args.with_cp) for backend in backends]
        if args.memory and 'backbone' in subject and not args.with_cp:
            found.append(dict(backend='auto', with_cp=True))
        return found

    subjects = [{'config' if name.endswith('.py') else 'backbone': name} for name in args.names]
    subjects += [dict(op=name) for name in args.op]
    common = dict(device=args.device, channels_last=args.channels_last)
    return [
        [
            subject
            | way
            | dict(size=size, compile=run == 'compiled', batch=batch, mode=mode, dtype=dtype)
            | dict(threads=threads, **common)
            for subject, size, run in product(subjects, args.size, args.runs)
            for way in ways(subject)
        ]
        for batch, mode, dtype, threads in product(
            args.batch, args.modes, args.dtypes, args.threads
        )
    ]


def machine(device: str) -> dict:
    import torch

    info = Path('/proc/cpuinfo')
    model = re.search('model name.*: (.*)', info.read_text() if info.exists() else '')
    return dict(
        cpu=model[1] if model else platform.processor(),
        cores=os.cpu_count(),
        load=os.getloadavg()[0],
        gpu=torch.cuda.get_device_name() if device == 'cuda' else None,
        system=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
    )


def shown(results: list[dict]) -> str:
    """Format the results as a table without empty columns."""
    from backbones.tables import table

    columns = dict.fromkeys(key for result in results for key in result)
    columns = [key for key in columns if any(r.get(key) not in (None, False) for r in results)]
    return table(columns, [[result.get(key) for key in columns] for result in results])


def counted(args: argparse.Namespace) -> Iterator[dict]:
    from cards import step

    for setting in product(args.names, args.size, args.batch):
        yield step(*setting)


def iterations(args: argparse.Namespace) -> Iterator[dict]:
    from iteration import iteration

    for setting in product(args.names, args.size or [None], args.threads):
        yield iteration(*setting, args.repeats)


def compared(args: argparse.Namespace) -> Iterator[dict]:
    import timing

    how = dict(plain_repeats=args.plain_repeats, peaks=not args.no_peak)
    for candidates in settings(args):
        yield from timing.measure(candidates, args.repeats, train_peaks=args.train_peak, **how)


def write(report: dict, file: Path | None) -> None:
    if file:
        file.write_text(json.dumps(report, indent=1) + '\n')


def main(words: list[str] | None = None) -> None:
    args = parse_args(words)
    from backbones.errors import plain_errors
    from backbones.training.devices import require_cuda

    measure = counted if args.cards else iterations if args.iteration else compared
    with plain_errors():
        require_cuda(args.device)
        report = dict(machine=machine(args.device), results=[])
        for result in measure(args):
            report['results'].append(result)
            write(report, args.json)  # after each result: an interrupted run keeps them
        print(shown(report['results']))


if __name__ == '__main__':
    main()
