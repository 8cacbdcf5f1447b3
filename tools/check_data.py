#!/usr/bin/env python
"""Check a dataset before training: a folder, or the datasets of a config."""

import argparse
import json
import sys
from pathlib import Path

LAYOUTS = ('coco', 'yolo', 'voc', 'voc-masks', 'voc-objects', 'labelme', 'labelme-xml', 'cvat',
           'createml', 'via', 'masks', 'mask-files', 'csv', 'instance-maps')  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'data', metavar='FOLDER|CONFIG', help='a dataset, or a config whose datasets are checked'
    )
    parser.add_argument(
        '--layout', choices=LAYOUTS, help='layout of the folder, if it is ambiguous'
    )
    parser.add_argument(
        '--classes', nargs='+', default=(), metavar='NAME', help='class names in label order'
    )
    parser.add_argument(
        '--channels',
        type=int,
        metavar='N',
        help='read all N channels of the images as they are; by default, images are read as 8-bit '
        'RGB, or with all channels if none is grey, RGB or RGBA with 8 bits',
    )
    parser.add_argument(
        '--ignore',
        nargs='+',
        default=(),
        metavar='VALUE',
        help='ignore these values (such as 11) or classes in label maps',
    )
    parser.add_argument(
        '--enclosing-boxes', action='store_true', help='use upright boxes around rotated ones'
    )
    parser.add_argument(
        '--allow', nargs='+', default=(), metavar='KIND', help='accept these kinds of faults'
    )
    parser.add_argument(
        '--decode', action='store_true', help='also load all pixels if the dataset is large'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the report as JSON')
    parser.add_argument(
        '--pictures', type=Path, metavar='DIR', help='also draw some images with their labels'
    )
    args = parser.parse_args(argv)
    import backbones.cli.requirements  # noqa: F401
    from backbones.cli import check_data  # imported late: --help must answer at once
    from backbones.cli.session import session
    from backbones.data import contact_sheet

    with session():
        report = check_data.check(
            args.data,
            layout=args.layout,
            classes=args.classes,
            channels=args.channels,
            ignore=args.ignore,
            enclosing_boxes=args.enclosing_boxes,
            allowed=args.allow,
            decode=args.decode,
            progress=sys.stderr.isatty(),
        )
        if args.pictures:
            report.notes += map(str, contact_sheet.draw(report, args.pictures))
        print(check_data.text(report))
        if args.json:
            args.json.write_text(json.dumps(check_data.as_json(report), indent=1) + '\n')
    sys.exit(1 if report.faults.errors else 0)


if __name__ == '__main__':
    main()
