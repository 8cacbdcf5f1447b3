"""Reading any kind of image like training does."""

from pathlib import Path

import cv2
import numpy as np

from backbones.data.files.images import image_facts
from backbones.data.files.parallel import large_images
from backbones.drawing.captions import Picture
from backbones.errors import UnreadableError
from backbones.pixels import read_pixels

NO_RANGE = ' have no known range of values; save it with 8 or 16 bits per channel'


def read_image(path: Path) -> tuple[Picture, list[str]]:
    """Read an image like MMDetection's and MMSegmentation's loaders.

    The camera's orientation tag is applied, grey becomes RGB, an alpha channel is ignored, and
    only the upper 8 of 16 bits per channel are kept, whatever the range of values.

    Returns:
        (H, W, 3) RGB, and notes on any of these steps that might surprise.

    Raises:
        UnreadableError: missing, damaged, not an image, or with an unknown range of values.
    """
    with large_images():
        facts = image_facts(path, decode=False)
    if facts.fault:
        detail = f' ({facts.detail})' if facts.detail else ''
        raise UnreadableError(f'{path}: {facts.fault.replace("-", " ")}{detail}')
    if facts.bits > 16:
        raise UnreadableError(f'{path}: {facts.bits} bits per channel{NO_RANGE}')
    notes = []
    if 'A' in facts.mode or 'transparency' in facts.mode:
        notes.append('transparency is ignored')
    if facts.frames > 1:
        notes.append('only the first of several frames is used')
    try:
        content = np.fromfile(path, np.uint8)
        pixels = cv2.imdecode(content, cv2.IMREAD_COLOR)  # as in mmcv
        whole = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR
        deep = cv2.imdecode(content, whole) if facts.bits > 8 else None
    except cv2.error as error:  # such as too large for OpenCV
        raise UnreadableError(f'{path}: {error}') from error
    if pixels is None:
        raise UnreadableError(f'{path}: damaged image')
    if deep is not None and deep.dtype not in (np.uint8, np.uint16):
        raise UnreadableError(f'{path}: pixels of type {deep.dtype}{NO_RANGE}')
    if deep is not None and deep.dtype == np.uint16:
        used = int(deep.max()).bit_length()
        few = f', of which {used} are in use: scale the values to 8 bits first' if used < 14 else ''
        notes.append(f'the upper 8 of 16 bits per channel are used{few}')
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8), notes


def read_channels(path: Path, channels: int, values: str | None) -> tuple[np.ndarray, list[str]]:
    """Read an image like `LoadChannels`; see `read_pixels`. Returns no notes."""
    return read_pixels(path, channels, values), []
