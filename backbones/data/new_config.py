"""Writing a config for an own dataset: short, plain, and every decision said beside its line."""

import json
import os
from pathlib import Path

import supervision as sv
from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

from backbones.data.checks import innermost, num_classes
from backbones.data.dataset import Dataset, Split
from backbones.data.schedules import Plan, make_plan, schedule_lines
from backbones.errors import MissingFileError, UserError
from backbones.shipped import config_file

STYLE = '{based_on_style: pep8, column_limit: 100, dedent_closing_brackets: true}'


def read_base(base: str, out: Path) -> tuple[str, Config]:
    """Find the config to inherit from.

    Args:
        base: a file, the name of one of this project's configs, or MMEngine's `package::config`.
        out: the file to be written.

    Returns:
        The expression for `_base_`, and the config.

    Raises:
        MissingFileError: no such config; names close matches.
    """
    if '::' in base:
        expression = absolute = repr(base)
    elif Path(base).is_file():
        expression = repr(os.path.relpath(base, out.parent))
        absolute = repr(os.path.abspath(base))
    else:
        config_file(base)
        name = base.removesuffix('.py')
        expression = absolute = f"__import__('backbones').config_file({name!r})"
    try:
        return expression, Config.fromstring(f'_base_ = {absolute}', '.py')
    except FileNotFoundError as error:
        raise MissingFileError(f'--base {base}: {error}') from error


def new_config(
    dataset: Dataset,
    *,
    base: str,
    out: Path,
    epochs: int | None = None,
    batch: int | None = None,
) -> str:
    """Make the text of a config; for YOLO and Pascal VOC, write the annotations as COCO, too.

    Args:
        dataset: checked, with a training and a validation split.
        base: see `read_base`.
        out: where the text will be; annotations go to a folder of the same name beside it.
        epochs: passes over the training images; None decides by their number.
        batch: images per iteration of one process; None takes the base's.

    Raises:
        UserError: the base cannot be used for such data.
    """
    expression, cfg = read_base(base, out)
    _check_fit(dataset, cfg, base)
    train = dataset.splits['train']
    plan = make_plan(cfg, len(train.paths()), epochs=epochs, batch=batch)
    if dataset.detection:
        data = _detection(dataset, cfg, out, plan)
    else:
        data = _label_maps(dataset, cfg, plan)
    lines = [
        f'# {dataset.root.name}: {plan.images} images to train, '
        f'{len(dataset.splits["val"].paths())} to validate, {len(dataset.classes)} classes',
        f'_base_ = {expression}',
        *_classes(dataset),
        _model(cfg, len(dataset.classes)),
        *data,
        *schedule_lines(cfg, plan),
    ]
    text, _ = FormatCode('\n'.join(lines) + '\n', style_config=STYLE)
    return text


def _check_fit(dataset: Dataset, cfg: Config, base: str) -> None:
    scope = cfg.get('default_scope')
    if (scope == 'mmdet') != dataset.detection:
        kind, wanted = ('instances', 'mask_rcnn_* or faster_rcnn_*') if dataset.detection else (
            'label maps', 'upernet_* or semantic_fpn_*')  # fmt: skip
        raise UserError(f'--base {base} is a config of {scope}, but the data are {kind}: take one '
                        f'of {wanted}')  # fmt: skip
    if has_mask_head(cfg.model) and not dataset.has_masks():
        raise UserError(f'--base {base} learns masks, but the annotations have boxes only: take '
                        'one of faster_rcnn_* or retinanet_*')  # fmt: skip
    if not num_classes(cfg.model, 'model'):
        raise UserError(f'--base {base} has no num_classes that could be set')
    for split in ('train', 'val'):
        if split not in dataset.splits:
            raise UserError(f'{dataset.root} has no split {split}; it has {[*dataset.splits]}')


def has_mask_head(model: dict) -> bool:
    """Whether a detector predicts masks."""
    return bool((model.get('roi_head') or {}).get('mask_head') or model.get('mask_head'))


def _classes(dataset: Dataset) -> list[str]:
    colours = sv.ColorPalette.DEFAULT.colors
    palette = [colours[i % len(colours)].as_rgb() for i in range(len(dataset.classes))]
    return [
        f'data_root = {str(dataset.root.absolute())!r}',
        f'metainfo = dict(classes={tuple(dataset.classes)!r}, palette={palette!r})',
    ]


def _model(cfg: Config, number: int) -> str:
    """All that depends on the number of classes."""
    settings: dict = {}
    for place, _ in num_classes(cfg.model, 'model'):
        _set(settings, cfg, place.split('.')[1:], f'num_classes={number}')
    for place in weighted(cfg.model, 'model'):  # weights of the base's classes
        _set(settings, cfg, place.split('.')[1:], 'class_weight=None')
    return f'model = {_written(settings)}'


def weighted(node: object, place: str) -> list[str]:
    """Places of losses that have one weight for each class."""
    if isinstance(node, list | tuple):
        return [f for i, n in enumerate(node) for f in weighted(n, f'{place}.{i}')]
    if not isinstance(node, dict):
        return []
    here = [place] if isinstance(node.get('class_weight'), list | tuple) else []
    return here + [f for k, n in node.items() for f in weighted(n, f'{place}.{k}')]


def _set(settings: dict, cfg: Config, path: list[str], setting: str) -> None:
    """Put a setting at its place; lists of heads are rewritten as a whole, from the base's."""
    for i, part in enumerate(path):
        if i + 1 < len(path) and path[i + 1].isdigit():
            heads = '.'.join(['_base_.model', *path[: i + 1]])
            settings[part] = f'[dict(head, {setting}) for head in {heads}]'
            return
        settings = settings.setdefault(part, {})
    settings[setting] = ''


def _written(settings: dict | str) -> str:
    if isinstance(settings, str):
        return settings
    return f'dict({", ".join(f"{k}={_written(v)}" if v else k for k, v in settings.items())})'


def _detection(dataset: Dataset, cfg: Config, out: Path, plan: Plan) -> list[str]:
    lines = [
        "# takes the place of the base's datasets",
        "__data = dict(_delete_=True, type='CocoDataset', data_root=data_root, metainfo=metainfo)",
    ]
    metric = ['bbox', 'segm'] if has_mask_head(cfg.model) else ['bbox']
    evaluators = ["# areas are the file's: of the masks, where there are some"]
    for name in _used(dataset):
        split = dataset.splits[name]
        file = _coco_file(split, dataset, out)
        images = os.path.relpath(split.images, dataset.root)
        prefix = '' if images == '.' else images
        # images without objects and small ones are used, too
        rule = 'filter_cfg=dict(filter_empty_gt=False)' if name == 'train' else 'test_mode=True'
        lines.append(
            f'{name}_dataloader = dict({_batch(name, plan)}dataset=dict('
            f'**__data, ann_file={file!r}, data_prefix=dict(img={prefix!r}), {rule}, '
            f'pipeline={_pipeline(cfg, name)}))'
        )
        if name != 'train':
            path = f'data_root + {"/" + file!r}' if not os.path.isabs(file) else repr(file)
            evaluators.append(
                f"{name}_evaluator = dict(_delete_=True, type='FasterCocoMetric', "
                f'ann_file={path}, metric={metric})'
            )
    if 'test' not in _used(dataset):
        lines.append('test_dataloader = val_dataloader')
        evaluators.append('test_evaluator = val_evaluator')
    return lines + evaluators


def _batch(name: str, plan: Plan) -> str:
    return f'batch_size={plan.batch}, ' if name == 'train' else ''


def _used(dataset: Dataset) -> list[str]:
    """Splits of the config; a test split that is not annotated cannot be evaluated."""
    test = dataset.splits.get('test')
    annotated = test is not None and (test.records.get('annotations') or test.pairs)
    return ['train', 'val', *(['test'] if annotated else [])]


def _coco_file(split: Split, dataset: Dataset, out: Path) -> str:
    """The annotation file of a split, relative to the data; written where the data have another."""
    if dataset.layout == 'coco':
        return os.path.relpath(split.source, dataset.root)
    file = out.with_suffix('') / f'{split.name}.json'
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(split.records))
    return str(file.absolute())


def _pipeline(cfg: Config, split: str) -> str:
    """The base's pipeline by its place in the base."""
    place, node = f'_base_.{split}_dataloader.dataset', cfg[f'{split}_dataloader'].dataset
    while 'pipeline' not in node and isinstance(node.get('dataset'), dict):
        place, node = f'{place}.dataset', node.dataset
    if 'pipeline' not in node or next(innermost(node)) is not node:
        raise UserError(f'the base wraps its {split} dataset in {node.get("type")}, which cannot '
                        'be rewritten: take another base')  # fmt: skip
    return f'{place}.pipeline'


def _label_maps(dataset: Dataset, cfg: Config, plan: Plan) -> list[str]:
    image, label = dataset.splits['train'].pairs[0]
    lines = [
        '# labels count from 0; the base may take 0 for "ignore", as ADE20K does',
        '__own = lambda steps: [dict(step, reduce_zero_label=False) '
        "if step['type'] == 'LoadAnnotations' else step for step in steps]",
        "# takes the place of the base's datasets",
        "__data = dict(_delete_=True, type='BaseSegDataset', data_root=data_root, "
        f'metainfo=metainfo, img_suffix={image.suffix!r}, seg_map_suffix={label.suffix!r}, '
        'ignore_index=255)',
    ]
    for name in _used(dataset):
        split = dataset.splits[name]
        images, labels = (os.path.relpath(p, dataset.root) for p in (split.images, split.source))
        lines.append(
            f'{name}_dataloader = dict({_batch(name, plan)}dataset=dict('
            f'**__data, data_prefix=dict(img_path={images!r}, seg_map_path={labels!r}), '
            f'pipeline=__own({_pipeline(cfg, name)})))'
        )
    if 'test' not in _used(dataset):
        lines.append('test_dataloader = val_dataloader')
    if 'tta_pipeline' in cfg:
        lines += [
            '__load, __augment = _base_.tta_pipeline',
            '__transforms = [__own(steps) for steps in __augment.transforms]',
            'tta_pipeline = [__load, dict(__augment, transforms=__transforms)]',
        ]
    return lines
