#!/usr/bin/env python
"""Count parameters and multiply-adds of whole models by part; needs neither data nor a GPU."""

import argparse
import json
from pathlib import Path


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='models to count')
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='image size; default: 800 1280 for detection, the test size for segmentation',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write exact counts')
    args = parser.parse_args(argv)
    import backbones.cli.requirements  # noqa: F401
    from backbones.cli.session import session
    from backbones.openmmlab import config  # imported late: --help must answer at once
    from backbones.openmmlab.complexity import complexity

    found = {}
    with session():
        for path in args.configs:
            found[path] = count = complexity(config.load_config(path), shape=args.shape)
            height, width = count['shape']
            print(f'{path}, {height} x {width} pixels')
            for name, part in (*count['parts'].items(), ('total', count)):
                print(f'  {name:20} {part["params"] / 1e6:8.2f} M  {part["macs"] / 1e9:9.2f} GMAC')
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + '\n')


if __name__ == '__main__':
    main()
