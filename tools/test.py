#!/usr/bin/env python
"""Evaluate a checkpoint: tools/test.py CONFIG CHECKPOINT [options]."""

import argparse
import os
from pathlib import Path

try:
    from mmengine.config import DictAction
except ModuleNotFoundError:
    import backbones.cli.requirements  # noqa: F401, says what to install and ends

    raise


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the config that the checkpoint was trained with')
    parser.add_argument('checkpoint')
    parser.add_argument('--backbone', metavar='NAME', help="instead of the config's, e.g. cswin_t")
    parser.add_argument('--work-dir', help='for metrics.json; default work_dirs/<config name>')
    parser.add_argument('--out', metavar='FILE.pkl', help='also write the predictions')
    parser.add_argument('--show-dir', metavar='DIR', help='pictures: ground truth | prediction')
    parser.add_argument('--results', action='store_true', help='also write the results page')
    parser.add_argument('--tta', action='store_true', help="test at the config's scales and flips")
    parser.add_argument(
        '--amp', action='store_true', help='bfloat16, faster on GPUs and on CPUs with AMX'
    )
    parser.add_argument('--data-root', metavar='DIR', help='where the dataset is')
    parser.add_argument('--device', choices=('auto', 'cuda', 'cpu'), default='auto')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='KEY=VALUE overrides, e.g. a.b.c=1'
    )
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.out and Path(args.out).suffix not in ('.pkl', '.pickle'):
        parser.error(f'--out is {args.out}; allowed: a name ending in .pkl')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from mmengine.dist import is_main_process  # imported late: --help must answer at once
    from mmengine.evaluator import DumpResults

    import backbones.cli.requirements  # noqa: F401
    from backbones.checkpoints import load_model, read
    from backbones.cli import settings
    from backbones.data.training_record import check_training
    from backbones.drawing.pictures import SavePictures
    from backbones.errors import UserError, listed, plain_errors
    from backbones.openmmlab import config, console
    from backbones.openmmlab.config_tree import classes_of, innermost
    from backbones.openmmlab.remedies import with_remedies
    from backbones.openmmlab.runner import QuietRunner
    from backbones.openmmlab.safe_loading import safe_loading
    from backbones.report import start_block
    from backbones.report.evaluate import WriteResults
    from backbones.training import devices, preflight
    from backbones.training.hooks import StartReport, unwrapped

    with plain_errors(), devices.closing_processes(), console.quiet(), safe_loading():
        devices.require_cuda(args.device)
        cfg = config.load_config(
            args.config,
            options=args.cfg_options,
            work_dir=args.work_dir,
            data_root=args.data_root,
            launcher=args.launcher,
            backbone=args.backbone,
        )
        settings.set_testing(cfg, tta=args.tta, amp=args.amp)
        dataset, _ = preflight.check(cfg, loaders=('test_dataloader',))
        devices.adapt_to_device(cfg)
        runner = QuietRunner.from_cfg(cfg)
        own = classes_of(cfg, next(innermost(cfg.test_dataloader.dataset)))
        file = read(args.checkpoint)
        load_model(unwrapped(runner), args.checkpoint, file=file, classes=own)
        check_training(cfg, file, args.checkpoint)
        block = start_block.test_block(cfg, dataset, args.checkpoint)
        runner.register_hook(StartReport(lambda runner: block))
        pictures, page = SavePictures(args.show_dir or ''), WriteResults(args.checkpoint)
        for asked, hook in ((args.show_dir, pictures), (args.results, page)):
            if asked:
                runner.register_hook(hook)
        if args.out:
            runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
        with with_remedies():
            metrics = runner.test()
        if is_main_process():
            class_iou = getattr(runner.test_evaluator.metrics[0], 'class_iou', {})
            path = Path(cfg.work_dir, 'metrics.json')
            tables = start_block.metric_tables(metrics, class_iou)
            start_block.save_metrics(
                path,
                config=args.config,
                checkpoint=args.checkpoint,
                metrics=metrics,
                class_iou=class_iou,
                tables=tables,
            )
            print(f'\n{tables}\n\nmetrics: {path}')
            if args.results:  # after the metrics, which it must not cost
                print(f'results page: {page.write(runner)}')
        if pictures.failed:
            raise UserError(f'some pictures were not drawn: {listed(pictures.failed)}')


if __name__ == '__main__':
    main()
