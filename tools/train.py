#!/usr/bin/env python
"""Train a detector or segmentor."""

import argparse
import os

try:
    from mmengine.config import DictAction
except ModuleNotFoundError:
    import backbones.cli.requirements  # noqa: F401, ends with what to install

    raise


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config, such as configs/upernet_dilateformer_b_ade20k.py')
    parser.add_argument(
        '--backbone', metavar='NAME', help="replace the config's backbone, for example by cswin_t"
    )
    parser.add_argument(
        '--recipe',
        choices=('published',),
        help="with --backbone: also use its authors' optimizer, parameter rules and drop path; "
        'schedule, clipping and mixed precision stay',
    )
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints; default: work_dirs/<config name>'
    )
    parser.add_argument(
        '--pretrained',
        metavar='FILE|URL|none',
        help="load these weights into the backbone instead of the config's; none: from scratch",
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from CHECKPOINT, or from the newest one in the work dir',
    )
    parser.add_argument('--data-root', metavar='DIR', help='folder of the dataset')
    parser.add_argument('--amp', action='store_true', help='mixed precision in bfloat16')
    parser.add_argument(
        '--amp-dtype',
        choices=('bfloat16', 'float16'),
        help='--amp with this type; use float16 on GPUs older than Ampere',
    )
    parser.add_argument(
        '--prefer',
        choices=('time', 'memory'),
        help='on GPUs: whether the backbone should save time, the default, or memory',
    )
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate to the batch size'
    )
    parser.add_argument(
        '--no-dry-run',
        dest='dry_run',
        action='store_false',
        help='do not try a batch of training, validation and metrics first',
    )
    parser.add_argument('--ema', action='store_true', help='average the weights during training')
    parser.add_argument(
        '--early-stopping',
        type=int,
        metavar='N',
        help='stop after N validations in a row without improvement',
    )
    parser.add_argument(
        '--freeze',
        choices=('backbone',),
        help="train only neck and heads, and leave the backbone's weights unchanged",
    )
    parser.add_argument(
        '--lora',
        type=int,
        metavar='RANK',
        help="train adapters of this rank, such as 8, instead of the backbone's weights",
    )
    parser.add_argument(
        '--no-results', action='store_true', help='do not write the results page at the end'
    )
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
    if args.early_stopping is not None and args.early_stopping < 1:
        parser.error(f'--early-stopping is {args.early_stopping}; allowed: at least 1')
    os.environ.setdefault('LOCAL_RANK', str(vars(args).pop('local_rank')))
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    import backbones.cli.requirements  # noqa: F401, late: --help must answer at once
    from backbones.cli.resolve import TrainOptions, resolve_training
    from backbones.cli.session import session
    from backbones.folder_lock import owning
    from backbones.report.start_block import start_block
    from backbones.training import devices, failures, preflight, resume, signals
    from backbones.training.data_record import DataRecord
    from backbones.training.dry_run import DryRun
    from backbones.training.hooks import StartReport
    from backbones.training.lora import runner_for

    options = TrainOptions(**vars(args))
    with session():
        devices.keep_freed_memory()
        run = resolve_training(options)
        with owning(run.cfg.work_dir, options.launcher) as left_over:
            notices = left_over + resume.set_resume(run.cfg, options.resume) + run.notices
            runner = runner_for(run.cfg).from_cfg(run.cfg)
            preflight.check_weights(runner)
            stopping = signals.SignalHook(resume.command(options.config, options.resume))
            runner.register_hook(stopping)
            runner.register_hook(DataRecord())
            runner.register_hook(StartReport(lambda r: start_block(r, run.dataset, notices)))
            if run.dry_run:
                skip = run.cfg.get('skip_unreadable', False)
                runner.register_hook(DryRun(skip_unreadable=skip))
            with failures.saving(runner, stopping):
                runner.train()
            if not options.no_results:
                with failures.once_trained(runner):
                    # late: what draws takes more than a second to import
                    from backbones.report.evaluate import after_training

                    told = after_training(runner)
                if told:
                    runner.logger.info(told)


if __name__ == '__main__':
    main()
