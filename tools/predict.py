#!/usr/bin/env python
"""Predict on your own images, with a config and its checkpoint, or with an exported file."""

import argparse
import sys

EXPORTED = ('.onnx', '.xml', '.pt2')


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'config', help='config that the checkpoint was trained with, or an exported file'
    )
    if not any(word.lower().endswith(EXPORTED) for word in argv):
        parser.add_argument('checkpoint', help='omit it with an exported file')
    parser.add_argument(
        'images', nargs='+', help='images, folders or patterns such as "a/**/*.jpg"; or videos'
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='new folder for the results')
    parser.add_argument(
        '--score', type=float, default=0.5, help='minimum score of reported instances; default: 0.5'
    )
    parser.add_argument('--tile', type=int, metavar='N', help='cut larger images into N x N tiles')
    parser.add_argument(
        '--batch', type=int, default=1, metavar='N', help='images or tiles at once; default: 1'
    )
    parser.add_argument(
        '--resume', action='store_true', help='continue an interrupted call in the --out folder'
    )
    parser.add_argument(
        '--as-labels',
        choices=('coco', 'yolo', 'masks'),
        help='also write a dataset that you can correct in an annotation tool',
    )
    parser.add_argument(
        '--fps', type=float, metavar='N', help='for videos: predict at most N frames per second'
    )
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:1')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='compute in bfloat16: faster on GPUs and on CPUs with AMX',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile the backbone: worth it for many images of one size',
    )
    parser.add_argument(
        '--backbone', metavar='NAME', help="the model's backbone, if it is not the config's"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(sys.argv[1:] if argv is None else argv)
    if args.config.lower().endswith(EXPORTED):  # late imports: --help must answer at once
        import backbones.cli.runtime
        from backbones.errors import plain_errors as session
    else:
        import backbones.cli.requirements  # noqa: F401
        from backbones.cli.session import session
    from backbones.inference.run import run

    with session():
        if code := run(**vars(args)):
            sys.exit(code)


if __name__ == '__main__':
    main()
