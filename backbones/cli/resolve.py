"""Resolve a command line into the final config, in one fixed order."""

from dataclasses import dataclass, replace

from mmengine.config import Config

from backbones.cli.settings import set_testing, set_training
from backbones.data.dataset import Dataset
from backbones.openmmlab.config import batch_in_name, load_config
from backbones.openmmlab.replace_backbone import doubts
from backbones.training import devices, preflight
from backbones.training.loop import use_exact_loop


@dataclass(frozen=True)
class Common:
    """Options of both training and testing; None if not typed."""

    config: str
    backbone: str | None = None
    work_dir: str | None = None
    data_root: str | None = None
    device: str = 'auto'
    cfg_options: dict | None = None
    launcher: str = 'none'


@dataclass(frozen=True)
class TrainOptions(Common):
    """Options of `tools/train.py`; its `--help` explains each."""

    recipe: str | None = None
    pretrained: str | None = None
    resume: str | None = None
    amp: bool = False
    amp_dtype: str | None = None
    prefer: str | None = None
    auto_scale_lr: bool = False
    dry_run: bool = True
    ema: bool = False
    early_stopping: int | None = None
    freeze: str | None = None
    lora: int | None = None
    no_results: bool = False


@dataclass(frozen=True)
class TestOptions(Common):
    """Options of `tools/test.py`."""

    __test__ = False  # pytest would collect a class of this name

    checkpoint: str = ''
    out: str | None = None
    show_dir: str | None = None
    results: bool = False
    tta: bool = False
    amp: bool = False


@dataclass
class Resolved:
    """A final config, except for what depends on the work dir; see `set_resume`.

    Attributes:
        cfg: the config.
        dataset: the data as read by the check.
        notices: decisions and likely mistakes, one sentence each.
        dry_run: whether to do a dry run.
    """

    cfg: Config
    dataset: Dataset
    notices: list[str]
    dry_run: bool = False


def resolve_training(options: TrainOptions) -> Resolved:
    """Resolve everything about a training run before it locks its work dir.

    Raises:
        UserError: lists all faults of options, config and data that can be found this early.
    """
    devices.require_cuda(options.device)
    amp = options.amp or options.amp_dtype
    if amp:
        given = devices.amp_options(options.cfg_options, options.amp_dtype)
        options = replace(options, cfg_options=given)
    cfg = _load(options, recipe=options.recipe)
    set_training(
        cfg,
        pretrained=options.pretrained,
        auto_scale_lr=options.auto_scale_lr,
        ema=options.ema,
        patience=options.early_stopping,
        prefer=options.prefer,
        freeze=options.freeze is not None,
        rank=options.lora,
    )
    if amp:
        devices.set_amp(cfg)
    batch = batch_in_name(options.config)
    scaled = options.auto_scale_lr and batch == cfg.auto_scale_lr.base_batch_size
    dataset, notices = preflight.check(cfg, loaders=('train_dataloader', 'val_dataloader'))
    if options.backbone:
        notices = doubts(cfg, options.backbone) + notices
    if scaled:
        notices.append(
            f'the learning rate is for batches of {batch}, as the name of the config says'
        )
    notices += use_exact_loop(cfg) + devices.adapt_to_device(cfg)
    dry_run = options.dry_run and cfg.get('dry_run', True)
    if not dry_run:
        notices.append('no dry run: errors in the validation will only show up when it starts')
    return Resolved(cfg, dataset, notices, dry_run)


def resolve_test(options: TestOptions) -> Resolved:
    """Resolve everything about an evaluation. See `resolve_training`."""
    devices.require_cuda(options.device)
    cfg = _load(options)
    set_testing(cfg, tta=options.tta, amp=options.amp)
    dataset, notices = preflight.check(cfg, loaders=('test_dataloader',))
    return Resolved(cfg, dataset, notices + devices.adapt_to_device(cfg))


def _load(options: Common, recipe: str | None = None) -> Config:
    """Read the file, then apply another backbone, single settings and another data folder."""
    return load_config(
        options.config,
        options=options.cfg_options,
        work_dir=options.work_dir,
        data_root=options.data_root,
        launcher=options.launcher,
        backbone=options.backbone,
        recipe=recipe,
    )
