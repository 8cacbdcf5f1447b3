"""Checks before the start: what a training would only trip over minutes or hours later."""

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner

from backbones.checkpoints import load_model
from backbones.checkpoints.fetch import is_remote, locate
from backbones.commands.config import DATALOADERS
from backbones.data.checks import check_classes, check_files, innermost
from backbones.errors import UserError
from backbones.openmmlab.hooks import LoadFrom, unwrapped
from backbones.pyramid import Pyramid


def check(cfg: Config, *, loaders: tuple[str, ...] = DATALOADERS) -> None:
    """Check model against data and data against the disk.

    Raises:
        MissingFileError: a dataset folder or file is missing.
        UserError: backbone and heads, or heads and data, disagree.
    """
    check_model(cfg)
    for loader in loaders:
        if cfg.get(loader):
            for dataset in innermost(cfg[loader].dataset):
                check_files(dataset)
                check_classes(cfg, dataset)


def check_model(cfg: Config) -> None:
    """Build the backbone without memory; compare its channels with what the next part takes.

    Raises:
        UserError: an argument that the backbone refuses, or channels that disagree.
    """
    model = cfg.model.get('module', cfg.model)  # inside that of test-time augmentation
    settings = dict(model.backbone)
    cls = MODELS.get(settings.pop('type'))
    if not (isinstance(cls, type) and issubclass(cls, Pyramid)):
        return
    with torch.device('meta'):
        try:
            backbone = cls(**settings)
        except TypeError as error:
            raise UserError(f'model.backbone: {error}') from error
    checkpoint = (settings.get('init_cfg') or {}).get('checkpoint', '')
    if checkpoint and not is_remote(checkpoint):
        locate(checkpoint)
    part = 'neck' if model.get('neck') else 'decode_head'
    taken = model.get(part, {}).get('in_channels')
    if taken is not None and list(taken) != list(backbone.channels):
        raise UserError(
            f'model.{part}.in_channels is {list(taken)}, but {cls.__name__} emits '
            f'{list(backbone.channels)}: set the latter'
        )


def check_weights(runner: Runner) -> None:
    """Load a training's `load_from` strictly; MMEngine would only warn of what does not fit.

    Raises:
        UserError: see `backbones.checkpoints.load_model`.
    """
    if runner._load_from and runner._resume:
        load_model(unwrapped(runner), runner._load_from)  # for the errors; the Runner loads again
    elif runner._load_from:
        hook = LoadFrom(runner._load_from)
        hook.before_train(runner)  # once now, for the errors
        runner.register_hook(hook)
        runner._load_from = None
