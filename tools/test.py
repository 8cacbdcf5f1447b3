#!/usr/bin/env python
"""Evaluate a checkpoint."""

import argparse
import os
from pathlib import Path

try:
    from mmengine.config import DictAction
except ModuleNotFoundError:
    import backbones.cli.requirements  # noqa: F401, ends with what to install

    raise


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='weights of the whole model: a path or a URL')
    parser.add_argument(
        '--backbone', metavar='NAME', help="the model's backbone, if it is not the config's"
    )
    parser.add_argument(
        '--work-dir', help='folder for metrics.json; default: work_dirs/<config name>'
    )
    parser.add_argument('--out', metavar='FILE.pkl', help='also write the predictions')
    parser.add_argument('--show-dir', metavar='DIR', help='draw ground truth beside prediction')
    parser.add_argument('--results', action='store_true', help='also write the results page')
    parser.add_argument('--tta', action='store_true', help="test at the config's scales and flips")
    parser.add_argument(
        '--amp',
        action='store_true',
        help='compute in bfloat16: faster on GPUs and on CPUs with AMX',
    )
    parser.add_argument('--data-root', metavar='DIR', help='folder of the dataset')
    parser.add_argument(
        '--device',
        choices=('auto', 'cuda', 'cpu'),
        default='auto',
        help='auto, the default, is a GPU if there is one',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='KEY=VALUE overrides, such as a.b.c=1'
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='what has started several processes; the scripts tools/*.sh set it; default: none',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.out and Path(args.out).suffix not in ('.pkl', '.pickle'):
        parser.error(f'--out is {args.out}; allowed: a name ending in .pkl')
    os.environ.setdefault('LOCAL_RANK', str(vars(args).pop('local_rank')))
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from mmengine.dist import is_main_process  # imported late: --help must answer at once
    from mmengine.evaluator import DumpResults

    import backbones.cli.requirements  # noqa: F401
    from backbones.cli.resolve import TestOptions, resolve_test
    from backbones.cli.session import session
    from backbones.drawing.samples import SavePictures
    from backbones.errors import UserError, listed
    from backbones.inference.trained_model import load_tested
    from backbones.openmmlab.remedies import with_remedies
    from backbones.openmmlab.runner import QuietRunner
    from backbones.report.evaluate import WriteResults
    from backbones.report.metric_tables import save_metrics
    from backbones.report.start_block import test_block
    from backbones.training.hooks import StartReport

    options = TestOptions(**vars(args))
    with session():
        run = resolve_test(options)
        runner = QuietRunner.from_cfg(run.cfg)
        load_tested(runner, options.checkpoint)
        block = test_block(run.cfg, run.dataset, options.checkpoint)
        runner.register_hook(StartReport(lambda runner: block))
        pictures = SavePictures(options.show_dir or '')
        page = WriteResults(options.checkpoint, classwise=options.results)
        for hook in (pictures, page) if options.show_dir else (page,):
            runner.register_hook(hook)
        if options.out:
            runner.test_evaluator.metrics.append(DumpResults(out_file_path=options.out))
        with with_remedies():
            metrics = runner.test()
        if is_main_process():
            tables, path = save_metrics(runner, metrics, options.config, options.checkpoint)
            print('\n'.join(['', tables, '', *page.limits, f'metrics: {path}']))
            if options.results:  # last, so that a failure cannot cost the metrics
                print(f'results page: {page.write(runner)}')
        if pictures.failed:
            raise UserError(f'some pictures could not be drawn: {listed(pictures.failed)}')


if __name__ == '__main__':
    main()
