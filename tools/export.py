#!/usr/bin/env python
"""Export a model to a file, and compare the file with PyTorch."""

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
    parser.add_argument('config', help='a config, or the name of a backbone, such as cswin_t')
    parser.add_argument(
        'checkpoint', nargs='?', help='weights of the whole model, or of the backbone'
    )
    parser.add_argument(
        '--out', required=True, metavar='FILE', help='must end in .onnx, .xml or .pt2'
    )
    parser.add_argument(
        '--size', nargs=2, type=int, metavar=('H', 'W'), help='size of all images in pixels'
    )
    parser.add_argument(
        '--dynamic',
        nargs='?',
        const='size',
        choices=('size', 'batch', 'both'),
        help='accept images of any size (the default), any number of images per call, or both',
    )
    parser.add_argument(
        '--to',
        choices=('onnx', 'openvino', 'torch-export'),
        default='onnx',
        help='format of the file; default: onnx',
    )
    parser.add_argument(
        '--precision',
        choices=('fp32', 'fp16', 'bf16', 'int8'),
        default='fp32',
        help='numbers in the file; bf16 and int8 only for openvino; default: fp32',
    )
    parser.add_argument(
        '--calibration',
        type=int,
        default=300,
        metavar='N',
        help='training images for int8; default: 300',
    )
    parser.add_argument(
        '--max-drop',
        type=float,
        default=1.0,
        metavar='POINTS',
        help='maximum loss of the validation metric with int8; default: 1.0',
    )
    parser.add_argument(
        '--pretrained', action='store_true', help="use a backbone's published weights"
    )
    parser.add_argument(
        '--backbone', metavar='NAME', help="the model's backbone, if it is not the config's"
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='KEY=VALUE overrides, such as a.b.c=1'
    )
    args = parser.parse_args(argv)
    import backbones.cli.requirements  # noqa: F401
    from backbones.cli.session import session
    from backbones.deploy import export  # imported late: --help must answer at once
    from backbones.deploy import source as sources
    from backbones.errors import UserError
    from backbones.registry import names_backbone

    if (args.dynamic in ('size', 'both')) == bool(args.size):
        parser.error('give either --size H W or --dynamic size (or both, for any batch)')
    target = export.Target(
        size=tuple(args.size) if args.size else None,
        batch=None if args.dynamic in ('batch', 'both') else 1,
        to=args.to,
        precision=args.precision,
        calibration=args.calibration,
        max_drop=args.max_drop,
    )
    dynamic = target.size is None
    with session():
        export.check_arguments(args.out, target)
        if names_backbone(args.config):
            if args.backbone or args.cfg_options:
                raise UserError('--backbone and --cfg-options are for a config, not for a backbone')
            source = sources.read_backbone(
                args.config, args.checkpoint, pretrained=args.pretrained, dynamic=dynamic
            )
        elif args.pretrained:
            raise UserError('--pretrained is for a backbone alone; a config needs its checkpoint')
        else:
            source = sources.read_model(
                args.config,
                args.checkpoint,
                backbone=args.backbone,
                options=args.cfg_options,
                dynamic=dynamic,
            )
        result = export.export(source, Path(args.out), target)
    print(export.text(result.differences))
    for note in result.notes:
        print(note)
    if not result.agrees:
        sys.exit(f'error: the file disagrees with PyTorch and was not saved: {args.out}')
    out = Path(args.out)
    files = [out, out.with_suffix('.bin')] if args.to == 'openvino' else [out]
    size = sum(file.stat().st_size for file in files)
    same = 'same numbers as PyTorch' if args.precision == 'fp32' else f'in {args.precision}'
    print(f'{out}: {size / 2**20:.1f} MiB, {same}')


if __name__ == '__main__':
    main()
