"""Writing a short config for the user's own dataset, with a comment on every decision."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import supervision as sv
from mmengine.config import Config
from torch import nn

from backbones.checkpoints import has_backbone
from backbones.data.configs.channels import modules_of, set_channels
from backbones.data.configs.config_text import literal, override, statement
from backbones.data.configs.dataset_lines import detection_lines, label_map_lines
from backbones.data.configs.fit_to_data import fit
from backbones.data.configs.schedules import (
    Pace,
    Plan,
    keeps_best,
    make_plan,
    plan_for,
    schedule_lines,
)
from backbones.data.configs.write_config import (
    BRACES,
    comment,
    comments,
    data_root,
    is_listed,
    write_annotations,
)
from backbones.data.dataset import Dataset
from backbones.errors import UserError
from backbones.openmmlab.build import build_model
from backbones.openmmlab.config import read_config
from backbones.openmmlab.config_tree import (
    for_classes,
    has_mask_head,
    num_classes,
    with_backbone,
)
from backbones.openmmlab.registries import OURS, imports_of
from backbones.openmmlab.replace_backbone import doubts, swap_backbone
from backbones.package_files import config_file


def read_base(base: str, out: Path) -> tuple[str, Config]:
    """Find the config to inherit from.

    Args:
        base: a file, the name of one of this project's configs, or `mmdet::...` or `mmseg::...`.
        out: the file to write.

    Returns:
        The expression for `_base_`, and the config.

    Raises:
        MissingFileError, UserError: see `read_config`.
    """
    if '::' in base:
        return repr(f'{base.removesuffix(".py")}.py'), read_config(base)
    if Path(base).is_file():
        return repr(os.path.relpath(base, out.parent)), read_config(base)
    name = base.removesuffix('.py')
    return f"__import__('backbones').config_file({name!r})", read_config(config_file(name))


def wanted_by(base: str, out: Path) -> str:
    """Return what a base learns: 'boxes', 'masks' of instances or 'label maps'."""
    _, cfg = read_base(base, out)
    if cfg.get('default_scope') == 'mmseg':
        return 'label maps'
    return 'masks' if has_mask_head(cfg.model) else 'boxes'


def new_config(
    dataset: Dataset,
    *,
    base: str,
    out: Path,
    epochs: int | None = None,
    batch: int | None = None,
    backbone: str | None = None,
    recipe: str | None = None,
    flips: str | None = None,
    minutes: float | None = None,
    measure: Callable[[str], Pace] | None = None,
    allowed: Sequence[str] = (),
    start: str | None = None,
    start_file: dict | None = None,
) -> str:
    """Return the text of a config; write annotations and lists that the data lack.

    Args:
        dataset: a checked dataset with a training and a validation split.
        base: see `read_base`.
        out: where the config will be; annotations go to a folder of the same name beside it.
        epochs: passes over the training images; None chooses by their number.
        batch: images per iteration of one process; None keeps the base's, or fits it to the images.
        backbone, recipe: see `backbones.openmmlab.replace_backbone.swap_backbone`.
        flips: see `backbones.data.configs.fit_to_data.fit`.
        minutes, measure: the time for the training run, instead of epochs, and a function that
            measures the pace of a config, given as text.
        allowed: kinds of faults that are intentional.
        start: a checkpoint to initialise the whole model or, with `backbone`, everything else; None
            uses only the backbone's pretrained weights.
        start_file: what `checkpoints.read` returned for `start`, where `backbone` is given.

    Raises:
        UserError: the base does not fit the data, or the backbone does not fit the base.
    """
    expression, cfg = read_base(base, out)
    _check_fit(dataset, cfg, base)
    new = cfg if backbone is None else swap_backbone(cfg, backbone, recipe=recipe)
    model = for_classes(new.model, len(dataset.classes))
    if dataset.channels:
        model = set_channels(model, dataset)
    lends = bool(start and start_file and not has_backbone(start_file, _backbone(new), start))
    if start and not lends:  # it has the backbone's weights
        model = {**model, 'backbone': {**model['backbone'], 'init_cfg': None}}
    made = fit(dataset, cfg, model, flips=flips, keep_anchors=start is not None)
    plan = make_plan(
        cfg,
        len(dataset.splits['train'].paths()),
        epochs=epochs,
        batch=batch or made.batch,
    )
    write_annotations(dataset, out)

    def text(plan: Plan) -> str:
        lines = [
            comment(
                f'{dataset.root.name}: {plan.images} images to train, '
                f'{len(dataset.splits["val"].paths())} to validate, {len(dataset.classes)} classes'
            ),
            f'_base_ = {expression}',
            *_classes(dataset),
            *made.lines(),
            *_model(cfg, new, made.model, backbone, start, lends=lends),
            *_imports(cfg, dataset, backbone),
            *(detection_lines(dataset, cfg, out, plan, made) if dataset.detection else
              label_map_lines(dataset, cfg, out, plan, made)),
            *schedule_lines(cfg, new, plan),
            *_allowed(allowed),
            *comments([f'does not fit: {said}' for said in made.misfits]),
        ]  # fmt: skip
        return '\n'.join(lines).replace(*BRACES) + '\n'

    if minutes is not None and measure is not None:
        plan = plan_for(minutes, plan, measure(text(plan)))
    return text(plan)


def _allowed(kinds: Sequence[str]) -> list[str]:
    said = '# faults that tools/check_data.py finds in the data, but are intentional'
    return [said, f'allow_faults = {list(kinds)!r}'] if kinds else []


def _check_fit(dataset: Dataset, cfg: Config, base: str) -> None:
    scope = cfg.get('default_scope')
    if (scope == 'mmdet') != dataset.detection:
        kind, wanted = ('instances', 'mask_rcnn_* or faster_rcnn_*') if dataset.detection else (
            'label maps', 'upernet_* or semantic_fpn_*')  # fmt: skip
        raise UserError(f'--base {base} is a config of {scope}, but the data are {kind}: use one '
                        f'of {wanted}')  # fmt: skip
    missing = dataset.without_masks()
    if has_mask_head(cfg.model) and missing:
        where = f' in the split {", ".join(missing)}' if missing != [*dataset.splits] else ''
        raise UserError(f'--base {base} learns masks, but the annotations{where} have only boxes: '
                        'use one of faster_rcnn_* or retinanet_*')  # fmt: skip
    if not num_classes(cfg.model, 'model'):
        raise UserError(f'--base {base} has no num_classes to set')
    for split in ('train', 'val'):
        if split not in dataset.splits:
            raise UserError(f'{dataset.root} has no split {split}; it has {[*dataset.splits]}')


def _classes(dataset: Dataset) -> list[str]:
    colours = sv.ColorPalette.DEFAULT.colors
    palette = [colours[i % len(colours)].as_rgb() for i in range(len(dataset.classes))]
    values = dataset.mapping.values if dataset.mapping else ()
    own = [value for value in values if isinstance(value, tuple)]
    if any(len({*colour}) > 1 for colour in own):
        palette = own  # the data's own colours
    metainfo: dict[str, object] = dict(classes=tuple(dataset.classes), palette=palette)
    lines = []
    if dataset.channels:
        lines = ['# bands: the channels that pictures show as red, green and blue, from 0']
        metainfo['bands'] = (0, 1, 2)
    return [
        *lines,
        f'data_root = {data_root(dataset)!r}',
        statement('metainfo', literal(metainfo)),
    ]


def _backbone(cfg: Config) -> nn.Module:
    return build_model(cfg, with_backbone(cfg.model).backbone, device='meta')


def _model(
    cfg: Config, new: Config, model: object, backbone: str | None, start: str | None, *,
    lends: bool,
) -> list[str]:  # fmt: skip
    """Return the lines about the model: classes, decisions by the data, and the backbone."""
    change = override(cfg.model, model, '_base_.model')
    lines = [] if change is None else [statement('model', change)]
    if start:
        what = 'all but the backbone of a model' if lends else 'a whole model'
        lines += [
            f'# {what}; layers for other classes are re-initialised, and the log lists them',
            f'load_from = {start!r}',
            *(['load_backbone = False'] if lends else []),
        ]
    if backbone is None:
        return lines
    what = f"{backbone} instead of the base's backbone, with all settings that depend on it"
    said = [what, *doubts(new, backbone)]
    if cfg.get('load_from') and not start:
        lines.append('load_from = None  # the base loads a model with its own backbone')
    return comments(said) + lines


def _imports(cfg: Config, dataset: Dataset, backbone: str | None) -> list[str]:
    """Return the line that imports backbone, dataset and hooks, unless the base does."""
    there = imports_of(cfg)
    needed = ['backbones'] if backbone else []
    if is_listed(dataset):
        needed.append(OURS['ListedPairsDataset'])
    if dataset.mapping:
        needed.append(OURS['LoadMappedAnnotations'])
    if dataset.detection:
        needed.append(OURS['CocoByNameDataset'])
    if dataset.channels:
        needed += modules_of(cfg)
    if not keeps_best(cfg):
        needed.append(OURS['DurableCheckpointHook'])
    needed = [module for module in needed if module not in there]
    wanted = dict(imports=[*there, *needed], allow_failed_imports=False)
    return [statement('custom_imports', literal(wanted))] if needed else []
