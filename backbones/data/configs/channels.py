"""Whether images are read as 8-bit RGB or with all their channels, and the config for it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config

from backbones.data.configs.config_loaders import nested
from backbones.data.dataset import Dataset, Split
from backbones.data.faults.faults import Faults
from backbones.data.files.images import ImageFacts
from backbones.data.load_channels import LOADER, OF_COLOURS, ORDINARY
from backbones.errors import UserError, listed
from backbones.openmmlab.config_tree import type_name
from backbones.pixels import read_pixels

# the libraries' preprocessors; for each we have one for any number of channels
NORMALISERS = ('DetDataPreprocessor', 'SegDataPreProcessor')
MEASURED = 200  # images on which mean and deviation are measured
# largest value of an image with values from 0 to 1, or of 8 bits, and the least that is neither
SCALES = dict(float32=(1, 16), float64=(1, 16), uint16=(255, 4095))
GREY = ('1', 'L', 'LA')  # Pillow's modes


def modules_of(cfg: Config) -> list[str]:
    """Return the modules that a config for such images imports."""
    return ['backbones.data.load_channels', f'backbones.data.channels_{cfg.default_scope}']


def choose_channels(splits: Iterable[Split]) -> int:
    """Decide how the images of a folder are read.

    Returns:
        The number of channels, if every image has more than 8 bits or no image is grey, RGB or
        RGB with alpha; the most frequent number if images differ. 0 for 8-bit RGB.
    """
    facts = [fact for split in splits for fact in split.facts.values() if not fact.fault]
    if not facts or not all(fact.special for fact in facts):
        return 0
    numbers = [fact.channels for fact in facts]
    return max(sorted(set(numbers)), key=numbers.count)


def usual_values(splits: Iterable[Split], channels: int) -> str | None:
    """Return the commonest type of the images with so many channels; None if there are none."""
    facts = [fact for split in splits for fact in split.facts.values() if not fact.fault]
    kinds = [fact.kind for fact in facts if fact.channels == channels]
    return max(sorted(set(kinds)), key=kinds.count) if kinds else None


def check_channels(split: Split, dataset: Dataset, faults: Faults) -> None:
    """Add a fault for each image that the loader refuses, or whose values have another range."""
    channels = dataset.channels
    good = [fact for fact in split.facts.values() if not fact.fault]
    if not channels:
        for fact in good:
            if fact.channels not in (1, 3, 4) and fact.frames == 1:
                faults.add('channels-differ', split.images, _named(fact), total=len(good))
        return
    for fact in good:
        if fact.channels != channels or fact.kind != dataset.values:
            example = f'{_named(fact)}, the others {channels} x {dataset.values}'
            faults.add('channels-differ', split.images, example, total=len(good))


def check_scales(dataset: Dataset, faults: Faults) -> None:
    """Compare images with each other: their largest values, and grey splits with coloured ones."""
    facts = [f for split in dataset.splits.values() for f in split.facts.values() if not f.fault]
    if dataset.channels:
        known = [fact for fact in facts if fact.largest and fact.kind in SCALES]
        low = [fact for fact in known if fact.largest <= SCALES[fact.kind][0]]
        high = [fact for fact in known if fact.largest > SCALES[fact.kind][1]]
        few, many = sorted((low, high), key=len)
        for fact in few:
            example = f'{fact.path.name} has values up to {fact.largest:g}, ' \
                      f'{many[0].path.name} up to {many[0].largest:g}'  # fmt: skip
            faults.add('scales-differ', dataset.root, example, total=len(known))
        return
    grey = {name: {fact.mode in GREY for fact in split.facts.values() if not fact.fault}
            for name, split in dataset.splits.items()}  # fmt: skip
    without = [name for name, found in grey.items() if found == {True}]
    coloured = [name for name, found in grey.items() if found == {False}]
    if without and coloured:
        example = f'{listed(without)} in grey, {listed(coloured)} in colours'
        faults.add('grey-split', dataset.root, example)


def _named(fact: ImageFacts) -> str:
    return f'{fact.path.name}: {fact.channels} channels of {fact.kind}'


def measure(paths: Sequence[Path], channels: int) -> tuple[list[float], list[float]]:
    """Measure each channel's mean and deviation on images spread over the training set."""
    chosen = paths[:: -(-len(paths) // MEASURED) or 1]
    number, total, squares = 0, np.zeros(channels), np.zeros(channels)
    for path in chosen:
        pixels = read_pixels(path, channels).reshape(-1, channels).astype(np.float64)
        number += len(pixels)
        total += pixels.sum(0)
        squares += (pixels**2).sum(0)
    mean = total / number
    std = np.sqrt(np.maximum(squares / number - mean**2, 0))
    return [_short(v) for v in mean], [_short(v) or 1.0 for v in std]  # a constant channel stays


def _short(value: float) -> float:
    return float(f'{value:.5g}')


def set_channels(model: dict, dataset: Dataset) -> dict:
    """Return the model settings for images with the dataset's channels.

    Raises:
        UserError: the model has a custom data preprocessor.
    """
    mean, std = measure(dataset.splits['train'].paths(), dataset.channels or 0)
    old = model.get('data_preprocessor') or {}
    new = dict(old, mean=mean, std=std, bgr_to_rgb=False, rgb_to_bgr=False)
    kind = type_name(old)
    if kind not in NORMALISERS:
        raise UserError(
            f"the base's data_preprocessor is {kind}, but images with {dataset.channels} channels "
            f'need one of {", ".join(NORMALISERS)}: use another base'
        )
    new['type'] = f'Channel{kind}'
    backbone = dict(model['backbone'], in_channels=dataset.channels)
    return dict(model, backbone=backbone, data_preprocessor=new)


def pipeline_lines(
    cfg: Config, channels: int, values: str | None, splits: Sequence[str]
) -> list[str]:
    """Return the lines that define `__channels`, which turns a pipeline of the base into ours.

    Args:
        channels, values: see `LoadChannels`.

    Raises:
        UserError: a step that computes with colours is inside another one, or the base mixes
            images or joins datasets.
    """
    left_out: set[str] = set()
    for name in splits:
        *wrappers, (_, node) = nested(cfg, name)
        mixing = [wrapper['type'] for _, wrapper in wrappers if 'pipeline' in wrapper]
        if mixing:  # its steps create images with three channels
            raise UserError(
                f'the base mixes images ({mixing[0]}), which have {channels} channels: use '
                'another base'
            )
        for step in node['pipeline']:
            if step['type'] in OF_COLOURS:
                left_out.add(step['type'])
            elif inner := _colours_in(list(step.values())):
                raise UserError(
                    f'the base has {listed(inner)} inside {step["type"]}, which computes with red, '
                    f'green and blue, but the images have {channels} channels: use another base'
                )
    lines = [f'# {channels} channels as they are in the files; the model has their mean and std']
    if left_out:
        lines.append(f'# left out, because it computes with colours: {listed(sorted(left_out))}')
    return [
        *lines,
        '__channels = lambda steps: [',
        f"    dict(type='{LOADER}', channels={channels}, values={values!r})",
        f"    if x['type'] == '{ORDINARY}' else x",
        f"    for x in steps if x['type'] not in {sorted(left_out)}]",
    ]


def _colours_in(node: object) -> list[str]:
    if isinstance(node, dict):
        here = [node['type']] if node.get('type') in OF_COLOURS else []
        return here + _colours_in(list(node.values()))
    if isinstance(node, list | tuple):
        return [name for part in node for name in _colours_in(part)]
    return []
