"""Checks that a config's pipelines, model and evaluators fit together."""

import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from backbones.data.checks.class_order import check_class_order
from backbones.data.dataset import Dataset
from backbones.data.faults.faults import Faults
from backbones.data.files.label_mapping import IGNORED
from backbones.openmmlab.config import DATALOADERS
from backbones.openmmlab.config_tree import (
    classes_of,
    has_mask_head,
    innermost,
    steps,
    type_name,
)
from backbones.openmmlab.registries import COCO_METRICS, IOU_METRICS
from backbones.variants import Variant

LOADERS = {name.removesuffix('_dataloader'): name for name in DATALOADERS}
RGB = Variant.mean  # ImageNet's mean
# transforms that change or move pixels, besides those whose names begin with Random
DRAWING = ('Albu', 'AutoAugment', 'CachedMixUp', 'CachedMosaic', 'CopyPaste', 'CutOut', 'Expand',
           'MinIoURandomCrop', 'MixUp', 'Mosaic', 'PhotoMetricDistortion', 'RandAugment',
           'YOLOXHSVRandomAug')  # fmt: skip


def check_evaluators(cfg: Config, splits: Sequence[str], faults: Faults) -> None:
    """Check that evaluators read their dataset's annotation file, or get its annotations."""
    for name in set(splits) - {'train'}:
        evaluator, loader = cfg.get(f'{name}_evaluator'), cfg.get(LOADERS[name])
        for one in evaluator if isinstance(evaluator, list) else [evaluator]:
            if not one or not loader:
                continue
            file = one.get('ann_file')
            data = innermost(loader.dataset)[0]
            used = os.path.join(data.get('data_root') or '', data.get('ann_file') or '')
            if file and os.path.realpath(file) != os.path.realpath(used):
                faults.add('wrong-config', f'{name}_evaluator', f'ann_file is {file}, but '
                           f'{LOADERS[name]} reads {used}: set it to the latter')  # fmt: skip
            if file:
                names = classes_of(cfg, data) or ()
                place = f'{name}_evaluator'
                check_class_order(one.get('type'), Path(file), tuple(names), place, faults)
            # without a file, COCO metrics take the annotations from the pipeline
            metric = type_name(one)
            needs = metric in IOU_METRICS or (metric in COCO_METRICS and not file)
            if needs and not one.get('format_only') and not steps(loader, 'LoadAnnotations'):
                faults.add('wrong-config', LOADERS[name], f'{metric} needs annotations, but the '
                           "pipeline lacks dict(type='LoadAnnotations')")  # fmt: skip


def uses_masks(cfg: Config) -> bool:
    """Return whether masks of instances are learned or measured; a detector of boxes reads none."""
    loading = steps(cfg.get('train_dataloader'), 'LoadAnnotations')
    return has_mask_head(cfg.model) or any(step.get('with_mask') for step in loading)


def check_masks(cfg: Config, dataset: Dataset, faults: Faults) -> None:
    """Check that a mask model's pipelines load masks, and that the annotations have masks."""
    train = dataset.parts('train')
    loading = steps(cfg.get('train_dataloader'), 'LoadAnnotations')
    loads_masks = any(step.get('with_mask') for step in loading)
    annotated = any(part.records.get('annotations') for part in train)
    without = dataset.without_masks()
    if annotated and loads_masks and 'train' in without:
        faults.add('wrong-config', 'train_dataloader', 'the pipeline loads masks, but no '
                   'annotation has a segmentation: use a config for boxes, such as '
                   'faster_rcnn_*, or add masks')  # fmt: skip
    evaluators = cfg.get('val_evaluator') or ()
    for one in evaluators if isinstance(evaluators, list) else [evaluators]:
        if one and 'segm' in (one.get('metric') or ()) and 'val' in without:
            faults.add('wrong-config', 'val_evaluator', 'it measures masks, but no annotation of '
                       'the validation split has a segmentation: add masks, or use a config for '
                       'boxes')  # fmt: skip
    roi_head = cfg.model.get('roi_head') or {}  # other heads learn masks from boxes
    if train and roi_head.get('mask_head') and loading and not loads_masks:
        faults.add('wrong-config', 'train_dataloader', 'the model learns masks, but '
                   'LoadAnnotations in the pipeline has no with_mask=True')  # fmt: skip


def check_ignored(cfg: Config, splits: Sequence[str], faults: Faults) -> None:
    """Check that datasets, heads and metrics of label maps ignore the same label."""
    said: dict[int, list[str]] = {}
    for name in splits:
        if cfg.get(LOADERS[name]):
            for part in innermost(cfg[LOADERS[name]].dataset):
                place = f'{LOADERS[name]}.dataset'
                said.setdefault(part.get('ignore_index', IGNORED), []).append(place)
        evaluators = cfg.get(f'{name}_evaluator') or ()
        for one in evaluators if isinstance(evaluators, list) else [evaluators]:
            if one and type_name(one) in IOU_METRICS:
                said.setdefault(one.get('ignore_index', IGNORED), []).append(f'{name}_evaluator')
    for key in ('decode_head', 'auxiliary_head'):
        heads = cfg.model.get(key) or ()
        for head in heads if isinstance(heads, list) else [heads]:
            if head:
                said.setdefault(head.get('ignore_index', IGNORED), []).append(f'model.{key}')
    if len(said) > 1:
        parts = '; '.join(f'{label} in {", ".join(dict.fromkeys(p))}' for label, p in said.items())
        faults.add('wrong-config', 'ignore_index', f'it is {parts}: pixels that one ignores would '
                   'be learnt or counted by another')  # fmt: skip


def check_pixels(cfg: Config, splits: Sequence[str], faults: Faults) -> None:
    """Check the pipelines for random changes in validation, and against the preprocessor."""
    preprocessor = cfg.model.get('data_preprocessor') or {}
    mean = preprocessor.get('mean')
    for name in splits:
        for part in innermost(cfg[LOADERS[name]].dataset) if cfg.get(LOADERS[name]) else ():
            for step in part.get('pipeline') or ():
                kind = type_name(step)
                if name != 'train' and _draws(step, kind):
                    faults.add('drawn-validation', LOADERS[name], kind)
                if kind == 'Normalize' and mean:
                    faults.add('wrong-config', LOADERS[name], 'the pipeline has Normalize, and '
                               'model.data_preprocessor a mean: images would be normalised twice; '
                               'remove one')  # fmt: skip
    if mean and len(mean) == 3:
        to_rgb = bool(preprocessor.get('bgr_to_rgb'))
        if tuple(mean) == (RGB if not to_rgb else RGB[::-1]):
            order = 'RGB, and images stay BGR' if not to_rgb else 'BGR, and images become RGB'
            faults.add('channel-order', 'model.data_preprocessor', f'mean is {list(mean)}, that of '
                       f'ImageNet in {order}')  # fmt: skip


def _draws(step: dict, kind: str) -> bool:
    never = step.get('test_mode') or step.get('prob') == 0
    return not never and (kind.startswith('Random') or kind in DRAWING)
