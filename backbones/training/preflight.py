"""Checks before the start for faults that would otherwise end a run minutes or hours later."""

from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from backbones.checkpoints import load_model, read
from backbones.checkpoints.fetch import is_remote, locate
from backbones.data.check_dataset import check_dataset
from backbones.data.checks.config_datasets import allowed_faults, images_per_epoch, read_datasets
from backbones.data.configs.schedules import check_schedule
from backbones.data.dataset import Dataset
from backbones.data.faults.faults import Faults
from backbones.errors import UserError, first_line, listed
from backbones.openmmlab import safe_loading
from backbones.openmmlab.build import build_model
from backbones.openmmlab.compat import is_resuming, set_start, start_of
from backbones.openmmlab.config import DATALOADERS
from backbones.openmmlab.config_tree import (
    classes_of,
    for_classes,
    innermost,
    num_classes,
    only_formats,
    with_backbone,
)
from backbones.openmmlab.registries import find_class
from backbones.pyramid import Pyramid
from backbones.training.hooks import LoadFrom, unwrapped

SAMPLE = 200  # files per split to check before training


def check(cfg: Config, *, loaders: tuple[str, ...] = DATALOADERS) -> tuple[Dataset, list[str]]:
    """Check the model against the data, the data against the disk, and a sample of the data.

    Returns:
        The part of the dataset that was read, and one line for each likely mistake.

    Raises:
        UserError: lists all faults of the model and the data.
    """
    faults = Faults(['no-training', *allowed_faults(cfg)])
    try:
        check_model(cfg)
    except UserError as error:
        faults.add('wrong-config', 'model', error)
    splits = [loader.removesuffix('_dataloader') for loader in loaders if cfg.get(loader)]
    splits = [name for name in splits if not only_formats(cfg, f'{name}_evaluator')]
    dataset = read_datasets(cfg, faults, splits=splits, quick=True)
    check_dataset(dataset, faults, sample=SAMPLE)
    if 'train_dataloader' in loaders:
        check_schedule(cfg, images_per_epoch(cfg, dataset), faults)
    if faults.errors:
        raise UserError(
            'config or data are faulty; if a fault is intentional, set allow_faults = [KIND] in '
            'the config\n' + '\n'.join(faults.lines())
        )
    doubts = [fault for fault in faults.warnings if fault.kind not in faults.allowed]
    return dataset, [faults.notice(fault) for fault in doubts]


def check_model(cfg: Config) -> None:
    """Build the backbone on the meta device; compare its channels with the next part's input.

    Raises:
        UserError: the backbone rejects an argument, or the channels differ.
    """
    model = with_backbone(cfg.model)
    settings = dict(model.backbone)
    cls = find_class(settings.pop('type'), cfg.get('default_scope'))
    if not (isinstance(cls, type) and issubclass(cls, Pyramid)):
        return
    with torch.device('meta'):
        try:
            backbone = cls(**settings)
        except TypeError as error:
            raise UserError(f'model.backbone: {error}') from error
        except (RuntimeError, NotImplementedError) as error:
            raise UserError(
                f'model.backbone: {cls.__name__} cannot be built on the meta device: '
                f'{first_line(error)}; its constructor must not read values of tensors'
            ) from error
    checkpoint = (settings.get('init_cfg') or {}).get('checkpoint', '')
    if checkpoint and not is_remote(checkpoint):
        locate(checkpoint)
    part = next((p for p in ('neck', 'decode_head') if model.get(p)), 'panoptic_head')
    reader = model.get(part)
    taken = reader.get('in_channels') if isinstance(reader, dict) else None
    if not isinstance(taken, list | tuple):
        return  # a number, or several parts: `swap_backbone` verifies those
    index = reader.get('in_index', range(len(backbone.channels)))
    if beyond := [i for i in index if i >= len(backbone.channels)]:
        raise UserError(
            f'model.{part}.in_index has {listed(beyond)}, but {cls.__name__} emits '
            f'{len(backbone.channels)} levels, counted from 0: see model.backbone.out_indices'
        )
    emitted = [backbone.channels[i] for i in index]
    if list(taken) not in (emitted, emitted[::-1]):  # YOLOv3's neck counts from the last level
        raise UserError(
            f'model.{part}.in_channels is {list(taken)}, but {cls.__name__} emits '
            f'{emitted}: set in_channels to the latter'
        )


def check_weights(runner: Runner) -> None:
    """Load `load_from` strictly, where MMEngine would only warn about mismatches.

    Raises:
        UserError: see `backbones.checkpoints.load_model`.
    """
    cfg, source = runner.cfg, start_of(runner)
    if not source:
        return
    if is_resuming(runner):
        # only to raise errors; the Runner loads again
        load_model(unwrapped(runner), source, file=safe_loading.handed_on(source))
        return
    settings: dict[str, Any] = dict(
        checkpoint=source,
        file=read(source),
        classes=classes_of(cfg, innermost(cfg.train_dataloader.dataset)[0]),
        new_classes=lambda: tensors_of_classes(cfg),
        backbone=cfg.get('load_backbone', True),
    )
    load_model(unwrapped(runner), **settings)  # now, to raise errors early
    runner.register_hook(LoadFrom(**settings))
    set_start(runner, None, resume=False)


def tensors_of_classes(cfg: Config) -> set[str]:
    """Return the names of the tensors whose shape depends on the number of classes.

    The model is built a second time with one more class than in the config.
    """
    shapes = []
    for more in (0, 1):
        model = cfg.model
        for _, number in num_classes(model, 'model')[:1]:
            model = for_classes(model, number + more)
        built = build_model(cfg, ConfigDict(model))
        shapes.append({key: tensor.shape for key, tensor in built.state_dict().items()})
    return {key for key, shape in shapes[0].items() if shapes[1].get(key) != shape}
