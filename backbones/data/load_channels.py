"""Load and normalise images with all their channels, in configs that tools/new_config.py writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from backbones.errors import UserError
from backbones.openmmlab.config_tree import type_name
from backbones.pixels import read_pixels

LOADER = 'LoadChannels'
ORDINARY = 'LoadImageFromFile'
# settings with which the libraries' loader gives 8-bit RGB, rotated by the EXIF orientation
PLAIN = dict(color_type=('color',), imdecode_backend=(None, 'cv2', 'pillow', 'turbojpeg'))
# steps of pipelines that compute with red, green and blue, or with values from 0 to 255
OF_COLOURS = (
    *('PhotoMetricDistortion', 'YOLOXHSVRandomAug', 'ColorTransform', 'AutoContrast', 'Equalize'),
    *('Sharpness', 'Posterize', 'Solarize', 'SolarizeAdd', 'Color', 'Contrast', 'Brightness'),
    *('Invert', 'RandAugment', 'AutoAugment', 'ColorJitter', 'RandomGrayscale', 'RGB2Gray'),
    *('CLAHE', 'AdjustGamma', 'Rerange', 'Albu'),
)


@TRANSFORMS.register_module()
class LoadChannels(BaseTransform):
    """Load an image as `backbones.pixels.read_pixels` does; replaces LoadImageFromFile.

    Args:
        channels: number of channels of every image.
        values: their type, such as 'uint16'; None accepts every type.

    Raises:
        UnreadableError: an image cannot be read, or has different channels or values.
    """

    def __init__(self, channels: int, values: str | None = None) -> None:
        self.channels, self.values = channels, values

    def transform(self, results: dict) -> dict:
        pixels = read_pixels(Path(results['img_path']), self.channels, self.values)
        results['img'] = pixels.astype(np.float32)
        results['img_shape'] = results['ori_shape'] = pixels.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{LOADER}(channels={self.channels}, values={self.values!r})'


class AnyChannels:
    """A mixin for MMEngine's data preprocessors, which accept only one or three channels.

    Args:
        mean, std: one value for each channel.
        settings: the other settings of the library's class.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], **settings: Any) -> None:
        # a single value of each is accepted, and turns normalisation on
        settings |= dict(mean=[0.0], std=[1.0])
        super().__init__(**settings)
        own: Any = self
        for name, values in (('mean', mean), ('std', std)):
            own.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)


def channels_of(pipeline: object) -> int | None:
    """Return the channels that a pipeline's loader reads; None if it reads ordinary images."""
    return _loader(pipeline, LOADER).get('channels')


def values_of(pipeline: object) -> str | None:
    """Return the type of values that a pipeline's loader accepts; None if it accepts any."""
    return _loader(pipeline, LOADER).get('values')


def loading_of(pipeline: object) -> dict:
    """Return those settings of a pipeline's image loader that change the values.

    Any settings that give 8-bit RGB, rotated by the EXIF orientation, count as {}.
    """
    step = _loader(pipeline, LOADER, ORDINARY)
    keys = ('channels', 'values', *PLAIN)
    return {k: step[k] for k in keys if k in step and step[k] not in PLAIN.get(k, ())}


def check_reading(pipeline: object, source: str) -> None:
    """Refuse a pipeline that loads images differently than predictions do.

    Raises:
        UserError: it does.
    """
    odd = {key: value for key, value in loading_of(pipeline).items() if key in PLAIN}
    if odd:
        raise UserError(
            f'{source}: the test pipeline loads images with {odd}, but predictions read 8-bit RGB, '
            'rotated by the EXIF orientation: train and test with that, or with LoadChannels'
        )


def _loader(pipeline: object, *kinds: str) -> dict:
    """Return the first step that has one of these types; {} if there is none."""
    steps = pipeline if isinstance(pipeline, list | tuple) else ()
    return next((step for step in steps if type_name(step) in kinds), {})
