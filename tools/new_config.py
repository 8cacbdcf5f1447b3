#!/usr/bin/env python
"""Write a config for training on your own data."""

import argparse
import sys
from pathlib import Path

LAYOUTS = ('coco', 'yolo', 'voc', 'voc-masks', 'voc-objects', 'labelme', 'labelme-xml', 'cvat',
           'createml', 'via', 'masks', 'mask-files', 'csv', 'instance-maps')  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', metavar='FOLDER', help='dataset, as for tools/check_data.py')
    parser.add_argument('--base', required=True, metavar='CONFIG', help='config to inherit from')
    parser.add_argument(
        '--backbone', metavar='NAME', help="replace the base's backbone, for example by cswin_t"
    )
    parser.add_argument(
        '--recipe',
        choices=('published',),
        help="with --backbone: also use its authors' optimizer, parameter rules and drop path; "
        'schedule, clipping and mixed precision stay',
    )
    parser.add_argument(
        '--start',
        metavar='FILE|coco|ade20k|none',
        help="start from a whole model: a checkpoint, or the authors' file for the base, which is "
        'the default if it can be downloaded; a file with a backbone other than --backbone '
        'initialises only neck and heads',
    )
    parser.add_argument(
        '--out', required=True, type=Path, metavar='FILE.py', help='config to write'
    )
    parser.add_argument('--epochs', type=int, metavar='N', help='passes over the training images')
    parser.add_argument(
        '--minutes',
        type=float,
        metavar='N',
        help='instead of --epochs: time a few iterations, and plan a run of N minutes',
    )
    parser.add_argument(
        '--batch', type=int, metavar='N', help="images per GPU; default: the base's"
    )
    parser.add_argument(
        '--val',
        type=float,
        metavar='SHARE',
        help='share of the training images to set aside for validation if there is no split val; '
        'default: 0.2. The data itself is not changed',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='for --val: another number gives another division; default: 0',
    )
    parser.add_argument(
        '--flips',
        choices=('none', 'horizontal', 'all'),
        help='flips for training: all if images have no upright direction (aerial, microscopy), '
        'none if left and right differ (text); default: horizontal',
    )
    parser.add_argument('--layout', choices=LAYOUTS, help='layout of the folder')
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
    args = parser.parse_args(argv)
    if args.out.suffix != '.py':
        parser.error(f'--out is {args.out}; allowed: a name ending in .py')
    for option, number in (('--epochs', args.epochs), ('--batch', args.batch)):
        if number is not None and number < 1:
            parser.error(f'{option} is {number}; allowed: at least 1')
    if args.minutes is not None and (args.epochs or args.minutes <= 0):
        parser.error(f'--minutes is {args.minutes:g}; allowed: more than 0, without --epochs')
    if args.recipe and not args.backbone:
        parser.error('--recipe needs --backbone: add --backbone NAME or remove --recipe')
    import backbones.cli.requirements  # noqa: F401, before what may be missing
    from backbones.checkpoints import read  # imported late: --help must answer at once
    from backbones.cli import check_data
    from backbones.cli.dense_start import check_start, choose_start
    from backbones.cli.session import session
    from backbones.cli.timing import timed
    from backbones.data.configs.new_config import new_config, wanted_by
    from backbones.data.configs.write_config import write_config

    with session():
        report = check_data.check(
            args.folder,
            layout=args.layout,
            classes=args.classes,
            channels=args.channels,
            ignore=args.ignore,
            enclosing_boxes=args.enclosing_boxes,
            allowed=args.allow,
            progress=sys.stderr.isatty(),
            val=args.val,
            divide=True,
            seed=args.seed,
            wants=wanted_by(args.base, args.out),
        )
        print(check_data.text(report))
        if report.faults.errors:
            sys.exit('error: no config was written; correct the data first, or use --allow')
        channels = f'{report.dataset.channels} channels' if report.dataset.channels else None
        start, notice = choose_start(
            args.start, args.base, backbone=args.backbone, changed=channels
        )
        file = read(start) if start and args.backbone else None  # does it have that backbone?
        text = new_config(
            report.dataset,
            base=args.base,
            out=args.out,
            epochs=args.epochs,
            batch=args.batch,
            backbone=args.backbone,
            recipe=args.recipe,
            flips=args.flips,
            minutes=args.minutes,
            measure=lambda text: timed(text, args.out),
            allowed=args.allow,
            start=start,
            start_file=file,
        )
        older = write_config(
            text,
            report.dataset,
            args.out,
            check=(lambda cfg: check_start(cfg, start, file)) if start else None,
        )
        if notice:
            print(notice)
        if older:
            print(f'the previous config is now {older}')
    print(f'\n{text}\nwritten to {args.out}; next: tools/train.py {args.out}')


if __name__ == '__main__':
    main()
