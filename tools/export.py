#!/usr/bin/env python
"""Write a model as an ONNX file and compare it with PyTorch: tools/export.py CONFIG CHECKPOINT."""

import argparse
import sys
from pathlib import Path

try:
    from mmengine.config import DictAction
except ModuleNotFoundError:
    import backbones.cli.requirements  # noqa: F401, ends with what to install

    raise


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a config, or the name of a backbone, e.g. cswin_t')
    parser.add_argument('checkpoint', nargs='?', help='for the whole model or the backbone')
    parser.add_argument('--out', required=True, metavar='FILE.onnx')
    sizes = parser.add_mutually_exclusive_group(required=True)
    sizes.add_argument(
        '--size', nargs=2, type=int, metavar=('H', 'W'), help='size of all images in pixels'
    )
    sizes.add_argument('--dynamic', action='store_true', help='accept images of any size')
    parser.add_argument('--pretrained', action='store_true', help="a backbone's published weights")
    parser.add_argument('--backbone', metavar='NAME', help="replace the config's, e.g. by cswin_t")
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='KEY=VALUE overrides, e.g. a.b.c=1'
    )
    args = parser.parse_args(argv)
    import backbones.cli.requirements  # noqa: F401
    from backbones.cli.session import session
    from backbones.deploy import export  # imported late: --help must answer at once
    from backbones.errors import UserError
    from backbones.registry import names_backbone

    size = tuple(args.size) if args.size else None
    with session():
        export.check_arguments(args.out, size)
        if names_backbone(args.config):
            if args.backbone or args.cfg_options:
                raise UserError('--backbone and --cfg-options are for a config, not for a backbone')
            source = export.read_backbone(
                args.config, args.checkpoint, pretrained=args.pretrained, dynamic=args.dynamic
            )
        elif args.pretrained:
            raise UserError('--pretrained is for a backbone alone; a config needs its checkpoint')
        else:
            source = export.read_model(
                args.config,
                args.checkpoint,
                backbone=args.backbone,
                options=args.cfg_options,
                dynamic=args.dynamic,
            )
        found = export.export(source, Path(args.out), size=size)
    print(export.text(found))
    if not all(difference.agrees for difference in found):
        sys.exit(f'error: the file disagrees with PyTorch and was not saved: {args.out}')
    print(f'{args.out}: {Path(args.out).stat().st_size / 2**20:.1f} MiB, same numbers as PyTorch')


if __name__ == '__main__':
    main()
