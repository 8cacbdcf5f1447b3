"""Apply the options of the command line to a config."""

from importlib.util import find_spec

import torch
from mmengine.config import Config, ConfigDict

from backbones.adapted.pyramid import AdaptedPyramid
from backbones.errors import UserError
from backbones.openmmlab.config_tree import (
    averages,
    innermost,
    only_formats,
    type_name,
    with_backbone,
)
from backbones.openmmlab.registries import add_import, find_class
from backbones.pyramid import Pyramid
from backbones.timm_interface import levels_of
from backbones.training import early_stopping, lora
from backbones.training import ema as averaging


def set_training(
    cfg: Config,
    *,
    pretrained: str | None,
    auto_scale_lr: bool,
    ema: bool = False,
    patience: int | None = None,
    prefer: str | None = None,
    freeze: bool = False,
    rank: int | None = None,
) -> None:
    """Apply the options of tools/train.py.

    Args:
        pretrained: weights of the backbone, or 'none'; None keeps the config's.
        auto_scale_lr: scale the learning rate to the batch size.
        ema: average the weights.
        patience: number of validations without improvement after which to stop; None never stops.
        freeze: train neck and heads only.
        rank: rank of the adapters; see `backbones.training.lora`. None keeps the config's.
        prefer: what the backbone's forms should save; see `Pyramid`. None keeps the config's.

    Raises:
        UserError: options contradict each other; peft is missing; or the config has no base batch
            size to scale from, already averages the weights, or does not name a metric to watch.
    """
    if pretrained is not None:
        with_backbone(cfg.model).backbone.init_cfg = (
            None if pretrained == 'none' else dict(type='Pretrained', checkpoint=pretrained)
        )
    if prefer is not None:
        backbone = with_backbone(cfg.model).backbone
        if not _is_ours(cfg, backbone):
            raise UserError(f'--prefer: {backbone.type} has only one form; remove the option')
        backbone.prefer = prefer
    if freeze:
        _freeze(cfg)
    rank = cfg.get('lora') if rank is None else rank
    if rank is not None:
        _use_adapters(cfg, rank, freeze=freeze, averaged=ema or averages(cfg))
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise UserError(
                '--auto-scale-lr: the config has no auto_scale_lr.base_batch_size to scale from; '
                'give it with --cfg-options: the batch size for which the learning rate is meant'
            )
        cfg.auto_scale_lr.enable = True
    if ema:
        if averages(cfg):
            raise UserError('--ema: the config already averages the weights; remove the option')
        _add_hook(cfg, averaging.__name__, type='FittedEMAHook')
    if patience is not None:
        monitor = _monitored(cfg)
        hook = dict(type='ResumableEarlyStoppingHook', monitor=monitor, patience=patience)
        _add_hook(cfg, early_stopping.__name__, **hook)
    if find_spec('tensorboard') and 'visualizer' in cfg:
        backends = cfg.visualizer.setdefault('vis_backends', [dict(type='LocalVisBackend')])
        if all(backend.get('type') != 'TensorboardVisBackend' for backend in backends):
            backends.append(dict(type='TensorboardVisBackend'))


def _is_ours(cfg: Config, backbone: ConfigDict, base: type = Pyramid) -> bool:
    """Return whether a config's backbone is of a class of ours, under whatever name."""
    cls = find_class(backbone.type, cfg.get('default_scope'))
    return isinstance(cls, type) and issubclass(cls, base)


def _freeze(cfg: Config) -> None:
    backbone = with_backbone(cfg.model).backbone
    if _is_ours(cfg, backbone, AdaptedPyramid):
        backbone.frozen_stages = 'all'
        return
    if not _is_ours(cfg, backbone):
        raise UserError(
            f'--freeze works only with our backbones, and {backbone.type} is not one of them; set '
            'its own option, such as model.backbone.frozen_stages=4, with --cfg-options'
        )
    backbone.frozen_stages = levels_of(backbone.get('out_indices', (0, 1, 2, 3)))[-1] + 1


def _use_adapters(cfg: Config, rank: int, *, freeze: bool, averaged: bool) -> None:
    faults = []
    if rank < 1:
        faults.append(f'--lora is {rank}; allowed: 1, 2, 3, ...')
    if freeze:
        faults.append(
            '--lora trains adapters in the backbone, and --freeze does not train it: remove one'
        )
    if averaged:
        faults.append('--lora and --ema cannot be combined: an average of adapters is not the '
                      'average of the weights; remove one')  # fmt: skip
    if not find_spec('peft'):
        faults.append(lora.MISSING)
    if faults:
        raise UserError('; '.join(faults))
    cfg.lora = rank
    if all(hook.get('type') != 'LoraHook' for hook in cfg.get('custom_hooks') or ()):
        _add_hook(cfg, lora.__name__, type='LoraHook')


def _add_hook(cfg: Config, module: str, **hook: object) -> None:
    """Add a hook and import the module that registers it."""
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), hook]
    add_import(cfg, module)


def _monitored(cfg: Config) -> str:
    """Return the metric of the best checkpoint, which early stopping also watches."""
    best = (cfg.get('default_hooks') or {}).get('checkpoint', {}).get('save_best')
    best = best[0] if isinstance(best, list | tuple) and best else best
    evaluator = cfg.get('val_evaluator') or {}
    if best == 'auto' and isinstance(evaluator, dict) and 'Coco' in str(evaluator.get('type')):
        kinds = evaluator.get('metric') or 'bbox'
        kinds = [kinds] if isinstance(kinds, str) else kinds  # as `DurableCheckpointHook` chooses
        return f'coco/{"segm" if "segm" in kinds else kinds[0]}_mAP'
    if not isinstance(best, str) or best == 'auto':
        raise UserError(
            f'--early-stopping watches the metric of the best checkpoint, but the config has '
            f'default_hooks.checkpoint.save_best={best!r}: name one with --cfg-options, e.g. '
            'default_hooks.checkpoint.save_best=coco/bbox_mAP or =mIoU'
        )
    return best


def set_testing(cfg: Config, *, tta: bool, amp: bool = False) -> None:
    """Apply the options of tools/test.py, and remove what only training needs.

    Raises:
        UserError: `tta` is set for a config without test-time augmentation.
    """
    backbone = with_backbone(cfg.model).backbone
    if backbone.get('init_cfg'):
        backbone.init_cfg = None
    # MMEngine would load it over the tested weights
    cfg.load_from, cfg.resume = None, False
    cfg.pop('lora', None)  # adapters are merged in checkpoints
    if 'visualization' in cfg.get('default_hooks', {}):
        cfg.default_hooks.visualization.draw = False  # --show-dir draws every image instead
    if only_formats(cfg, 'test_evaluator'):
        _load_no_labels(cfg)
    if amp:  # MMEngine's name; the type is the one that autocast is set to
        cfg.test_cfg.fp16 = True
        torch.set_autocast_dtype('cuda', torch.bfloat16)
    if tta:
        if 'tta_model' not in cfg:
            raise UserError(
                '--tta: this config has no tta_model. Detectors are tested at one scale, as their '
                'published numbers are, and MMDetection merges boxes only, not masks; the '
                'segmentation configs for ADE20K and Cityscapes have one'
            )
        if cfg.get('default_scope') == 'mmdet' and 'segm' in str(cfg.get('test_evaluator')):
            raise UserError(
                '--tta: MMDetection merges boxes only, not masks: remove --tta, or evaluate '
                'boxes alone with --cfg-options test_evaluator.metric=bbox'
            )
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(**cfg.tta_model, module=cfg.model)


def _load_no_labels(cfg: Config) -> None:
    """Remove steps that load annotations from the test pipelines."""
    for dataset in innermost(cfg.test_dataloader.dataset):
        dataset['pipeline'] = [
            step
            for step in dataset.get('pipeline') or ()
            if not type_name(step).endswith('Annotations')
        ]
