"""Reading a config and the options of the command line, with errors that say what was meant."""

import os
from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine.config import Config

from backbones.commands.options import check_option
from backbones.data.checks import innermost
from backbones.errors import MissingFileError, UserError
from backbones.openmmlab import averaging, early_stopping
from backbones.openmmlab.registries import add_import
from backbones.openmmlab.swap import swap_backbone
from backbones.openmmlab.wrappers import with_backbone
from backbones.registry import BACKBONES
from backbones.shipped import find_config

DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def load_config(
    path: str,
    *,
    options: dict | None,
    work_dir: str | None,
    data_root: str | None,
    launcher: str,
    backbone: str | None = None,
    recipe: str | None = None,
) -> Config:
    """Read a config file and apply the command line to it.

    Args:
        path: see `read_config`.
        options: `--cfg-options`; see `check_option`.
        work_dir: None takes the config's, else `work_dirs/<config name>`.
        data_root: replaces the `data_root` of every dataset and evaluator.
        launcher: MMEngine's launcher.
        backbone, recipe: see `swap_backbone`; the options come after it.

    Raises:
        MissingFileError: no such config; names close matches.
        UserError: an option whose key does not exist, with close matches; or see `swap_backbone`.
    """
    cfg = read_config(path)
    stem = path.rpartition('::')[2]
    if backbone is not None:
        cfg = swap_backbone(cfg, backbone, recipe=recipe)
        stem = f'{Path(stem).stem}_{backbone}'
    elif recipe is not None:
        raise UserError('--recipe says how to train with another --backbone; name one')
    options = options or {}
    for key in sorted(options, key=_names_no_type):  # what a class takes depends on its type
        check_option(cfg, key)
        cfg.merge_from_dict({key: options[key]})
    if data_root is not None:
        _move_data(cfg, data_root)
    cfg.launcher = launcher
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(stem).stem))
    return cfg


def _names_no_type(option: str) -> bool:
    return option.rpartition('.')[2] != 'type'


def read_config(path: str) -> Config:
    """Read a config by its path or name. See `find_config`.

    Raises:
        MissingFileError: it, or a file that it inherits from, is not there.
        UserError: it is no Python, or imports a package that is not installed, as some of
            MMDetection's do.
    """
    try:
        return Config.fromfile(find_config(path))
    except MissingFileError:
        raise
    except (FileNotFoundError, IsADirectoryError) as error:  # MMEngine gives the path alone
        raise MissingFileError(
            f'config {path} inherits from a file that is not there: {error}; correct its _base_'
        ) from error
    except SyntaxError as error:
        raise UserError(f'config {path} is no Python: {error}') from error
    except ImportError as error:
        reason = str(error.__cause__ or error)  # MMEngine itself lists all of sys.path
        raise UserError(f'config {path} needs a package that is not installed: {reason}') from error


def set_training(
    cfg: Config,
    *,
    pretrained: str | None,
    auto_scale_lr: bool,
    ema: bool = False,
    patience: int | None = None,
    prefer: str | None = None,
) -> None:
    """Apply the options of tools/train.py.

    Args:
        pretrained: weights of the backbone, 'none' for none; None leaves the config's.
        auto_scale_lr: scale the learning rate to the batch size.
        ema: average the weights.
        patience: validations without progress after which to stop; None never stops early.
        prefer: what the backbone's forms cost least of, see `Pyramid`; None leaves the config's.

    Raises:
        UserError: the config has no base batch size to scale from, averages already, or does not
            say which metric is to grow.
    """
    if pretrained is not None:
        with_backbone(cfg.model).backbone.init_cfg = (
            None if pretrained == 'none' else dict(type='Pretrained', checkpoint=pretrained)
        )
    if prefer is not None:
        backbone = with_backbone(cfg.model).backbone
        if backbone.type not in {cls.__name__ for cls in BACKBONES}:
            raise UserError(f'--prefer: {backbone.type} has one form only; leave the option out')
        backbone.prefer = prefer
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise UserError(
                '--auto-scale-lr: the config has no auto_scale_lr.base_batch_size to scale from'
            )
        cfg.auto_scale_lr.enable = True
    if ema:
        if averages(cfg):
            raise UserError('--ema: the config averages the weights already; leave the option out')
        _add_hook(cfg, averaging.__name__, type='FittedEMAHook')
    if patience is not None:
        monitor = _monitored(cfg)
        hook = dict(type='ResumableEarlyStoppingHook', monitor=monitor, patience=patience)
        _add_hook(cfg, early_stopping.__name__, **hook)
    if find_spec('tensorboard') and 'visualizer' in cfg:
        backends = cfg.visualizer.setdefault('vis_backends', [dict(type='LocalVisBackend')])
        if all(backend.get('type') != 'TensorboardVisBackend' for backend in backends):
            backends.append(dict(type='TensorboardVisBackend'))


def averages(cfg: Config) -> bool:
    """Whether a config averages the weights of its training (EMA)."""
    return any('EMAHook' in str(hook.get('type')) for hook in cfg.get('custom_hooks') or ())


def _add_hook(cfg: Config, module: str, **hook: object) -> None:
    """Add a hook, and the module that registers it."""
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), hook]
    add_import(cfg, module)


def _monitored(cfg: Config) -> str:
    """The metric of the best checkpoint, which early stopping watches, too."""
    best = (cfg.get('default_hooks') or {}).get('checkpoint', {}).get('save_best')
    best = best[0] if isinstance(best, list | tuple) and best else best
    evaluator = cfg.get('val_evaluator') or {}
    if best == 'auto' and isinstance(evaluator, dict) and 'Coco' in str(evaluator.get('type')):
        kinds = evaluator.get('metric') or 'bbox'  # MMEngine takes the first metric of the first
        return f'coco/{kinds if isinstance(kinds, str) else kinds[0]}_mAP'
    if not isinstance(best, str) or best == 'auto':
        raise UserError(
            f'--early-stopping watches the metric of the best checkpoint, and the config has '
            f'default_hooks.checkpoint.save_best={best!r}: name one with --cfg-options, as in '
            'default_hooks.checkpoint.save_best=coco/bbox_mAP or =mIoU'
        )
    return best


def set_testing(cfg: Config, *, tta: bool, amp: bool = False) -> None:
    """Apply the options of tools/test.py, and leave out what only training needs.

    Raises:
        UserError: `tta` for a config without it.
    """
    backbone = with_backbone(cfg.model).backbone
    if backbone.get('init_cfg'):
        backbone.init_cfg = None
    # MMEngine would load it over the weights to be tested
    cfg.load_from, cfg.resume = None, False
    if 'visualization' in cfg.get('default_hooks', {}):
        cfg.default_hooks.visualization.draw = False  # --show-dir draws every image instead
    if only_formats(cfg, 'test_evaluator'):
        _load_no_labels(cfg)
    if amp:  # MMEngine's word; the type is the one that autocast is set to
        cfg.test_cfg.fp16 = True
        torch.set_autocast_dtype('cuda', torch.bfloat16)
    if tta:
        if 'tta_model' not in cfg:
            raise UserError(
                '--tta: this config has no tta_model. Detectors are tested at one scale, as their '
                'published numbers are, and MMDetection merges boxes only, no masks; the '
                'segmentation configs for ADE20K and Cityscapes have one'
            )
        if cfg.get('default_scope') == 'mmdet' and 'segm' in str(cfg.get('test_evaluator')):
            raise UserError(
                '--tta: MMDetection merges boxes only, no masks: leave --tta out, or evaluate '
                'boxes alone with --cfg-options test_evaluator.metric=bbox'
            )
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(**cfg.tta_model, module=cfg.model)


def only_formats(cfg: Config, evaluator: str) -> bool:
    """Whether predictions are only written, as for a server that keeps the labels to itself."""
    metrics = cfg.get(evaluator) or []
    metrics = metrics if isinstance(metrics, list | tuple) else [metrics]
    return bool(metrics) and all(metric.get('format_only') for metric in metrics)


def _load_no_labels(cfg: Config) -> None:
    """Leave out of the test pipelines what would load annotations."""
    for dataset in innermost(cfg.test_dataloader.dataset):
        dataset['pipeline'] = [
            step
            for step in dataset.get('pipeline') or ()
            if not str(step['type']).rpartition('.')[2].endswith('Annotations')
        ]


def _move_data(cfg: Config, data_root: str) -> None:
    """Point every dataset and every evaluator's ann_file to another folder."""
    old = cfg.get('data_root', '')
    for loader in DATALOADERS:
        for dataset in innermost(cfg[loader].dataset) if cfg.get(loader) else ():
            dataset['data_root'] = data_root
    for evaluator in (cfg.get('val_evaluator'), cfg.get('test_evaluator')):
        if isinstance(evaluator, dict) and str(evaluator.get('ann_file', '')).startswith(old):
            file = evaluator['ann_file'][len(old) :].lstrip('/')
            evaluator['ann_file'] = os.path.join(data_root, file)
    cfg.data_root = data_root
