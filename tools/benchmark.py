#!/usr/bin/env python
"""Compare a checkpoint with exported files: tools/benchmark.py CONFIG CHECKPOINT FILE..."""

import argparse


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('files', nargs='*', help='exported from the checkpoint: .onnx, .xml, .pt2')
    parser.add_argument(
        '--data',
        action='store_true',
        help="also compute the metric on the config's validation images",
    )
    parser.add_argument(
        '--images', nargs='+', metavar='IMAGE', help="time on these images (the config's)"
    )
    parser.add_argument(
        '--threads',
        nargs='+',
        type=int,
        metavar='N',
        help='numbers of CPU threads (OMP_NUM_THREADS, or all)',
    )
    parser.add_argument('--rounds', type=int, default=10, metavar='N', help='rounds of turns (10)')
    parser.add_argument(
        '--amp', action='store_true', help='also time the checkpoint and .xml files in bfloat16'
    )
    parser.add_argument(
        '--compile', action='store_true', help='also time the checkpoint with a compiled backbone'
    )
    parser.add_argument(
        '--against',
        nargs='+',
        default=[],
        metavar='RIVAL',
        help="compare with timm:NAME as a backbone, or with someone else's .onnx file",
    )
    parser.add_argument('--out', metavar='DIR', help='folder for benchmark.json and benchmark.png')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    import backbones.cli.requirements  # noqa: F401, late: --help must answer at once
    from backbones.cli.benchmark import run
    from backbones.cli.session import session

    with session():
        run(args)


if __name__ == '__main__':
    main()
