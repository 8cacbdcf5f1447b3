"""The datasets of a config, in the form that the checks expect, compared with the config."""

import inspect
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from backbones.data.checks.class_order import LARGE_JSON, check_class_order, check_things
from backbones.data.checks.config_checks import (
    check_categories,
    check_numbers,
    missing_paths,
    reduces,
)
from backbones.data.checks.dropped_samples import check_left_out
from backbones.data.checks.pipelines import (
    LOADERS,
    check_evaluators,
    check_ignored,
    check_masks,
    check_pixels,
    steps,
    uses_masks,
)
from backbones.data.dataset import Dataset, Split
from backbones.data.faults.faults import Faults
from backbones.data.files.label_mapping import mapping_of
from backbones.data.files.listing import SUFFIXES, list_files, read_lines
from backbones.data.layouts.coco import drop_root_category, read_json
from backbones.data.layouts.mask_folders import Pair, pair_by_name
from backbones.data.load_channels import channels_of, loading_of, values_of
from backbones.data.pair_list import read_pairs
from backbones.errors import UserError
from backbones.openmmlab.config_tree import classes_of, innermost, things_of
from backbones.openmmlab.own_datasets import settings_of
from backbones.openmmlab.registries import find_class

# known faults of the published images, annotations and class names of COCO and ADE20K
SLIPS = (
    'area-empty',
    'blank-in-name',
    'box-beside-mask',
    'box-beyond',
    'box-empty',
    'box-outside',
    'deep-image',
    'image-in-two-splits',
    'label-size',
    'mask-beyond',
    'mask-broken',
    'mask-hole',
    'mask-missing',
    'mixed-suffixes',
    'similar-classes',
    'size-differs',
    'size-swapped',
)


def read_datasets(
    cfg: Config, faults: Faults, *, splits: Sequence[str] = tuple(LOADERS), quick: bool = False
) -> Dataset:
    """Read a config's datasets; missing paths and contradictions with the config are faults.

    Args:
        splits: which of 'train', 'val' and 'test' to read; a test split that equals the validation
            split is skipped.
    """
    found: dict[str, Split] = {}
    parts = [part for name in splits if cfg.get(LOADERS[name])
             for part in innermost(cfg[LOADERS[name]].dataset)]  # fmt: skip
    roots = [part['data_root'] for part in parts if part.get('data_root')]
    dataset = Dataset('config', Path((roots or ['.'])[0]), found)
    loads = [loading_of(part.get('pipeline')) for part in parts if part.get('pipeline')]
    if other := [said for said in loads if said != loads[0]]:
        faults.add('wrong-config', 'dataloaders', f'images are loaded with {loads[0] or "defaults"}'
                   f' in one dataset and with {other[0] or "defaults"} in another')  # fmt: skip
    for name in splits:
        loader = cfg.get(LOADERS[name])
        if not loader:
            continue
        if name == 'test' and 'val' in found and _same(loader, cfg.get('val_dataloader')):
            continue
        for number, part in enumerate(innermost(loader.dataset), 1):
            split = _split(cfg, name, part, dataset, faults, quick=quick)
            if split is not None:
                found[name if number == 1 else f'{name} {number}'] = split
    panoptic = any(things_of(cfg, part) for part in parts)
    if found or panoptic or faults.count('missing-data'):  # otherwise the task is unknown
        check_evaluators(cfg, splits, faults)
        check_masks(cfg, dataset, faults)
        dataset.masks = uses_masks(cfg)
        check_pixels(cfg, splits, faults)
        if cfg.get('default_scope') == 'mmseg':
            check_ignored(cfg, splits, faults)
    return dataset


def _same(a: dict, b: dict | None) -> bool:
    keys = ('ann_file', 'data_prefix', 'data_root')
    return b is not None and all(a['dataset'].get(k) == b['dataset'].get(k) for k in keys)


def _split(
    cfg: Config, name: str, part: dict, dataset: Dataset, faults: Faults, *, quick: bool
) -> Split | None:
    """Read one of the config's datasets; None, with faults added, if that is impossible."""
    place, own = LOADERS[name], settings_of(cfg, part)
    part = own
    for path in missing_paths(part):
        faults.add('missing-data', place, path)
    for check in (check_numbers, check_categories):
        try:
            check(cfg, part)
        except UserError as error:
            faults.add('wrong-config', place, error)
    classes = classes_of(cfg, part)
    if isinstance(classes, str):
        return None
    dataset.classes = dataset.classes or tuple(classes or ())
    if classes is not None and tuple(classes) != dataset.classes:
        faults.add('wrong-config', place, f'metainfo.classes is {_few(classes)} here and '
                   f'{_few(dataset.classes)} in train_dataloader')  # fmt: skip
    dataset.channels = channels_of(part.get('pipeline')) or dataset.channels or 0
    dataset.values = values_of(part.get('pipeline')) or dataset.values
    cls = find_class(part['type'], cfg.get('default_scope'))
    bases = {base.__name__ for base in inspect.getmro(cls)} if cls else set()
    root = part.get('data_root') or ''
    prefix = {k: Path(os.path.join(root, v)) for k, v in (part.get('data_prefix') or {}).items()}
    file = Path(os.path.join(root, part.get('ann_file') or ''))
    if file.suffix == '.json':
        check_class_order(part['type'], file, tuple(classes or ()), place, faults)
    if things := things_of(cfg, part):
        check_things(file, tuple(classes or ()), things, place, faults)
        return None  # its annotations are segments, which are not checked any further
    if 'CocoDataset' in bases and file.is_file():
        if quick and file.stat().st_size > LARGE_JSON:
            return None
        dataset.layout = 'coco'
        records = read_json(file, faults)
        drop_root_category(records)
        split = Split(name, file, prefix.get('img', Path(root)), records=records)
        split.by_name = 'CocoByNameDataset' in bases
        check_left_out(split, part, dataset.classes, faults)
        return split
    images = prefix.get('img_path', Path(root))
    if 'BaseSegDataset' in bases and images.is_dir():
        ignored = reduces(part.get('pipeline', [])) or bool(part.get('reduce_zero_label'))
        if not dataset.detection and ignored != dataset.zero_ignored:
            faults.add('wrong-config', place, 'label 0 means "ignore" (reduce_zero_label) in one '
                       'dataset and the first class in another')  # fmt: skip
        step = next(iter(steps(part.get('pipeline', []), 'LoadMappedAnnotations')), None)
        mapping = mapping_of(step) if step else None
        if not dataset.detection and mapping != dataset.mapping:
            faults.add('wrong-config', place, 'LoadMappedAnnotations maps other values than in '
                       'another dataset')  # fmt: skip
        dataset.layout, dataset.detection, dataset.settled = 'masks', False, True
        dataset.zero_ignored, dataset.mapping = ignored, mapping
        labels = prefix.get('seg_map_path', images)
        if (listed := own.listed()) is not None:
            pairs = [(Path(e['img_path']), Path(e.get('seg_map_path') or '')) for e in listed]
        elif 'ListedPairsDataset' in bases:
            names = read_pairs(file) if file.is_file() else []
            pairs = [(images / image, labels / label) for image, label in names]
        elif 'MixedSuffixDataset' in bases:
            pairs = pair_by_name(Pair(images, labels, ''), faults, exact=True)
            if part.get('ann_file') and file.is_file():
                stems = {images / line for line in read_lines(file)}
                pairs = [pair for pair in pairs if pair[0].with_suffix('') in stems]
        else:
            pairs = list(_pairs(part, cls, file, images, labels, faults))
        return Split(name, labels, images, pairs=pairs)
    return None


def _few(names: object) -> str:
    shown = list(names) if isinstance(names, list | tuple) else [names]
    return f'{", ".join(map(str, shown[:3]))}{", ..." if len(shown) > 3 else ""} ({len(shown)})'


def argument(part: dict, cls: type | None, name: str) -> Any:
    """Return an argument of a dataset: the config's, or the default of its class."""
    if name in part:
        return part[name]
    for base in inspect.getmro(cls) if cls else ():
        parameter = inspect.signature(base).parameters.get(name)
        if parameter is not None and parameter.default is not parameter.empty:
            return parameter.default
    raise KeyError(name)


def _pairs(
    part: dict, cls: type | None, file: Path, images: Path, labels: Path, faults: Faults
) -> Iterator[tuple[Path, Path]]:
    """Yield pairs of image and label map as MMSegmentation finds them, by their suffixes."""
    image_suffix = argument(part, cls, 'img_suffix')
    label_suffix = argument(part, cls, 'seg_map_suffix')
    if part.get('ann_file') and file.is_file():
        names = read_lines(file)
    else:
        files = list_files(images)
        if not part.get('ann_file'):
            _check_suffix(images, files, image_suffix, faults)
        found = (path for path in files if path.name.endswith(image_suffix))
        names = [str(path.relative_to(images)).removesuffix(image_suffix) for path in found]
    for name in names:
        yield images / (name + image_suffix), labels / (name + label_suffix)


def _check_suffix(folder: Path, files: list[Path], suffix: str, faults: Faults) -> None:
    """Find images that the dataset ignores because of their suffix."""
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    for path in pictures:
        if not path.name.endswith(suffix[suffix.rfind('.') :]):
            example = f'{path.name}, where img_suffix is {suffix}'
            faults.add('mixed-suffixes', folder, example, total=len(pictures))


def images_per_epoch(cfg: Config, dataset: Dataset) -> int:
    """Count training images, as repeated by RepeatDataset; 0 if a part could not be read."""
    parts = iter(['train', *(f'train {i}' for i in range(2, 1000))])

    def count(node: dict) -> int:
        inner = node.get('dataset', node.get('datasets'))
        if inner is None:
            split = dataset.splits.get(next(parts))
            return len(split.paths()) - split.left_out['images'].total() if split else 0
        numbers = [count(part) for part in (inner if isinstance(inner, list | tuple) else [inner])]
        return sum(numbers) * node.get('times', 1) if all(numbers) else 0

    return count(cfg.train_dataloader.dataset) if dataset.parts('train') else 0


def allowed_faults(cfg: Config) -> list[str]:
    """Return the kinds of faults that are intentional: the config's `allow_faults`.

    A dataset whose classes the library names is a published one, and its known faults are part of
    the published numbers.
    """
    loaders = [cfg[loader] for loader in LOADERS.values() if cfg.get(loader)]
    own = any((part.get('metainfo') or {}).get('classes') for loader in loaders
              for part in innermost(loader.dataset))  # fmt: skip
    return [*cfg.get('allow_faults', ()), *(() if own else SLIPS)]
