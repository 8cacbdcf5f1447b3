#!/usr/bin/env python
"""List the available backbones: ours, and with --timm also timm's models."""

import argparse


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--task',
        choices=('detection', 'segmentation'),
        help='only those with a recipe for this task; also show the recipe',
    )
    parser.add_argument(
        '--max-params', type=float, metavar='M', help='at most M million parameters'
    )
    parser.add_argument(
        '--weights', choices=('yes',), help='only those whose pretrained weights can be downloaded'
    )
    parser.add_argument('--timm', action='store_true', help="also list timm's models")
    args = parser.parse_args(argv)
    from backbones.cli import list_backbones  # imported late: --help must answer at once
    from backbones.errors import plain_errors

    with plain_errors():
        found = list_backbones.rows(
            args.task, max_params=args.max_params, weights=bool(args.weights), timm=args.timm
        )
        print(list_backbones.text([*found]))


if __name__ == '__main__':
    main()
