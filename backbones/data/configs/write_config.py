"""A written config's dataset settings, and the check that MMEngine reads them back."""

import json
import os
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path

from mmengine.config import Config

from backbones import atomic_write
from backbones.data.configs.config_text import WIDTH
from backbones.data.dataset import Dataset
from backbones.data.pair_list import pairs_text
from backbones.errors import UserError, listed, shown
from backbones.openmmlab.config_tree import innermost

BRACES = '{{', '{\\x7b'  # MMEngine treats the former as a variable, even in a string


def used(dataset: Dataset) -> list[str]:
    """Return the config's splits; a test split without annotations is left out."""
    test = dataset.splits.get('test')
    annotated = test is not None and (test.records.get('annotations') or test.pairs)
    return ['train', 'val', *(['test'] if annotated else [])]


def data_root(dataset: Dataset) -> str:
    """Return the dataset's folder as written in a config."""
    return f'{dataset.root.absolute()}/'


def of_all_splits(dataset: Dataset) -> dict:
    """Return the settings that all splits' datasets share."""
    if dataset.detection:
        # small images and images without objects are used as well
        return dict(type='CocoByNameDataset', filter_cfg=dict(filter_empty_gt=False))
    splits = [dataset.splits[name] for name in used(dataset)]
    suffixes = {(image.suffix, label.suffix) for split in splits for image, label in split.pairs}
    if len(suffixes) > 1 or any(split.own_file for split in splits):
        return dict(type='ListedPairsDataset')
    ((images, labels),) = suffixes
    return dict(type='BaseSegDataset', img_suffix=images, seg_map_suffix=labels)


def of_split(dataset: Dataset, name: str, out: Path) -> dict:
    """Return the settings of one split's dataset: files and folders relative to the data.

    Args:
        out: the config; files written for it are in a folder of the same name beside it.
    """
    split = dataset.splits[name]
    images = os.path.relpath(split.images, dataset.root)
    if not dataset.detection:
        labels = os.path.relpath(split.source, dataset.root)
        prefix = dict(data_prefix=dict(img_path=images, seg_map_path=labels))
        own = dict(ann_file=str(_written(dataset, name, out).absolute()))
        return {**own, **prefix} if is_listed(dataset) else prefix
    if split.own_file:
        file = str(_written(dataset, name, out).absolute())
    else:
        file = os.path.relpath(split.source, dataset.root)
    return dict(ann_file=file, data_prefix=dict(img='' if images == '.' else images))


def _written(dataset: Dataset, name: str, out: Path) -> Path:
    return out.with_suffix('') / f'{name}.{"json" if dataset.detection else "txt"}'


def write_annotations(dataset: Dataset, out: Path) -> None:
    """Write files beside the config if those of the data cannot be used.

    Annotations as COCO, or lists of images and their label maps.

    Raises:
        UserError: images for training would become images for validation.
    """
    every = is_listed(dataset)
    texts = {
        _written(dataset, name, out): json.dumps(split.records) if dataset.detection
        else pairs_text(split)
        for name in used(dataset) if (split := dataset.splits[name]).own_file or every
    }  # fmt: skip
    trained = _images(_written(dataset, 'train', out))
    for file, text in texts.items():
        if file.stem != 'train' and (both := sorted(trained & _images_in(text))):
            raise UserError(
                f'{file.with_stem("train")} has {listed(both)}, and {file} would have them '
                'now: a model that was trained with the former would be judged by images that it '
                f'has learnt. Choose another --out, or remove the folder {file.parent} if there is '
                'no such model'
            )
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write.write(file, text.encode())


def _images(file: Path) -> set[str]:
    """Return the images in a previously written file; none if there is no file."""
    return _images_in(file.read_text(encoding='utf-8')) if file.is_file() else set()


def _images_in(text: str) -> set[str]:
    try:
        return {entry['file_name'] for entry in json.loads(text)['images']}
    except (ValueError, TypeError, KeyError):  # a list of pairs, or another program's file
        return {line.partition('\t')[0] for line in text.splitlines() if '\t' in line}


def is_listed(dataset: Dataset) -> bool:
    """Return whether lists pair the images with their label maps; these are then written."""
    return of_all_splits(dataset)['type'] == 'ListedPairsDataset'


def comment(text: str) -> str:
    """Format any text as a single comment line of a config."""
    return f'# {shown(text)}'


def comments(texts: Iterable[str]) -> list[str]:
    """Format sentences as comments, wrapped into lines."""
    return [comment(line) for text in texts for line in textwrap.wrap(text, WIDTH - 2)]


def write_config(
    text: str, dataset: Dataset, out: Path, *, check: Callable[[Config], None] | None = None
) -> Path | None:
    """Write a config, after checking that MMEngine reads back the right dataset.

    Args:
        text: what `new_config` returned for `out`.
        check: raises an error if the config cannot be used; then nothing is written.

    Returns:
        Where an existing, different config was moved, since somebody may have edited it; None if
        there was none.

    Raises:
        UserError: MMEngine would read other names or paths; nothing is written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    trial = out.with_name(f'.{out.stem}_trial.py')  # beside it: bases are relative
    try:
        trial.write_text(text, encoding='utf-8')
        cfg = Config.fromfile(trial)
    finally:
        trial.unlink(missing_ok=True)
    if faults := _differences(cfg, dataset, out):
        raise UserError(
            f'{out} was not written, since MMEngine would read it differently: '
            f'{"; ".join(faults)}. Rename the classes or folders'
        )
    if check:
        check(cfg)
    older = out.with_name(f'{out.name}.old')
    changes = out.is_file() and out.read_bytes() != text.encode()
    if changes:
        os.replace(out, older)
    atomic_write.write(out, text.encode())
    return older if changes else None


def _differences(cfg: Config, dataset: Dataset, out: Path) -> list[str]:
    found = []
    for name in used(dataset):
        (part,) = innermost(cfg[f'{name}_dataloader'].dataset)
        classes = tuple(part['metainfo']['classes'])
        meant = dict(
            **of_all_splits(dataset), **of_split(dataset, name, out), data_root=data_root(dataset)
        )
        pairs = [(key, part.get(key), value) for key, value in meant.items()]
        pairs.append(('classes', classes, tuple(dataset.classes)))
        found += [
            f'{name}: {key} is {read!r} instead of {value!r}'
            for key, read, value in pairs
            if read != value
        ]
    return found
