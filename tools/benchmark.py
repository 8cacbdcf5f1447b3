#!/usr/bin/env python
"""Compare a checkpoint with exported files: time, memory and metric."""

import argparse


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='weights of the whole model')
    parser.add_argument('files', nargs='*', help='exported from the checkpoint: .onnx, .xml, .pt2')
    parser.add_argument(
        '--data',
        action='store_true',
        help="also compute the metric on the config's validation images",
    )
    parser.add_argument(
        '--images', nargs='+', metavar='IMAGE', help="time on these images; default: the config's"
    )
    parser.add_argument(
        '--threads',
        nargs='+',
        type=int,
        metavar='N',
        help='numbers of CPU threads; default: OMP_NUM_THREADS, or all',
    )
    parser.add_argument(
        '--rounds', type=int, default=10, metavar='N', help='rounds of turns; default: 10'
    )
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
