"""Reading an image as a training does, whatever its kind."""

from pathlib import Path

import cv2
import numpy as np

from backbones.data.images import image_facts, large_images
from backbones.openmmlab.captions import Picture
from backbones.openmmlab.samples import UnreadableError

NO_RANGE = ' have no known range of values; save it with 8 or 16 bits per channel'


def read_image(path: Path) -> tuple[Picture, list[str]]:
    """Read an image as MMDetection's and MMSegmentation's loaders do.

    The orientation that a camera noted is applied, grey becomes RGB, and an alpha channel is
    ignored. Of 16 bits per channel the loaders would keep the upper 8, which leaves next to nothing
    of an image that uses 12 of them: here the upper 8 of the bits in use are kept.

    Returns:
        (H, W, 3) RGB, and what of that might surprise.

    Raises:
        UnreadableError: missing, damaged, no image, or of pixels without a known range.
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
        notes.append('the first of several frames is taken')
    depth = cv2.IMREAD_ANYDEPTH if facts.bits > 8 else 0
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR | depth)
    except cv2.error as error:  # too large for OpenCV, for example
        raise UnreadableError(f'{path}: {error}') from error
    if pixels is None:
        raise UnreadableError(f'{path}: damaged image')
    if pixels.dtype == np.uint16:
        used = max(8, int(pixels.max()).bit_length())
        pixels = (pixels // 2 ** (used - 8)).astype(np.uint8)
        notes.append(f'16 bits per channel, {used} in use: divided by {2 ** (used - 8)}')
    if pixels.dtype != np.uint8:
        raise UnreadableError(f'{path}: pixels of type {pixels.dtype}{NO_RANGE}')
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8), notes
