"""Whether the image inside a labelme file shows the same as the file that it names."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from backbones.data.files.images import DAMAGED, DEEP_MODES
from backbones.orientation import SWAPPED

SIDE = 32  # pixels of the thumbnails that are compared
ALIKE = 0.9  # least correlation; saving as JPEG of another quality gives 0.99
FLAT = 1.0  # standard deviation of grey values below which an image shows nothing


def contradiction(data: object, path: Path) -> str:
    """Describe how an embedded image differs from a file; '' if it does not.

    Brightness, contrast and colours do not count: labelme itself converts what it embeds.

    Args:
        data: the embedded file in base64; None and '' if there is none.
        path: the image file; '' is returned if it cannot be read.
    """
    if not data:
        return ''
    try:
        embedded = Image.open(io.BytesIO(base64.b64decode(data)))  # type: ignore[arg-type]
        size = _size(embedded)
    except DAMAGED as error:
        return f'cannot be read ({error})'
    try:
        with Image.open(path) as image:
            own_size = _size(image)
            if size != own_size:  # before anything is decoded
                return 'is {}x{}, {} {}x{}'.format(*size, path.name, *own_size)
            own = _thumbnail(image)
            deep = image.mode in DEEP_MODES  # embedded with another range of values
    except DAMAGED:
        return ''
    try:
        shown = _thumbnail(embedded)
    except DAMAGED as error:
        return f'cannot be read ({error})'
    return '' if deep or _are_alike(shown, own) else f'shows something else than {path.name}'


def _size(image: Image.Image) -> tuple[int, int]:
    turned = image.getexif().get(ExifTags.Base.Orientation) in SWAPPED
    return image.size[::-1] if turned else image.size


def _thumbnail(image: Image.Image) -> np.ndarray:
    """Return grey values of the image as labelme shows it, rotated by its EXIF orientation."""
    image.draft('L', (SIDE, SIDE))  # decodes a JPEG at a fraction of its size
    upright = ImageOps.exif_transpose(image)
    return np.asarray(upright.convert('L').resize((SIDE, SIDE), Image.Resampling.BOX), float)


def _are_alike(first: np.ndarray, second: np.ndarray) -> bool:
    deviations = first.std(), second.std()
    if min(deviations) < FLAT:
        return max(deviations) < FLAT
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1]) > ALIKE
