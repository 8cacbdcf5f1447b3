"""The camera's orientation tag (EXIF), as OpenCV 4.12 and `pixels` apply it on loading."""

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

UPRIGHT = 1
TURNED = range(2, 9)  # values for which loading rotates or mirrors an image
SWAPPED = (5, 6, 7, 8)  # those that swap width and height
LARGEST = 1 << 20  # bytes of a PNG's tags


def orientation_of(path: Path) -> int:
    """Return an image file's orientation; 1 if it has no tag or is damaged."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about odd tags
        try:
            with Image.open(path) as image:
                return orientation_in(path, image)
        except Exception:  # Pillow raises anything for damaged tags; reading the image reports it
            return UPRIGHT


def orientation_in(path: Path, image: Image.Image) -> int:
    """Return the orientation of a file opened with Pillow, without decoding its pixels.

    OpenCV reads it from JPEG, PNG and TIFF files, but not from XMP, which Pillow reads as well.
    """
    if image.format == 'TIFF':
        said = image.tag_v2.get(ExifTags.Base.Orientation)  # type: ignore[attr-defined]
    elif image.format in ('JPEG', 'MPO', 'PNG'):
        exif = Image.Exif()
        exif.load(_of_png(path) if image.format == 'PNG' else image.info.get('exif', b''))
        said = exif.get(ExifTags.Base.Orientation)
    else:
        said = None
    return said if said in TURNED else UPRIGHT


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an orientation to an image, (H, W, ...)."""
    if orientation in SWAPPED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _of_png(path: Path) -> bytes:
    """Return the tags of a PNG; Pillow would decode all pixels for them."""
    with open(path, 'rb') as file:
        place = 8
        while len(head := (file.seek(place), file.read(8))[1]) == 8:
            size, kind = struct.unpack('>I4s', head)
            if kind == b'eXIf' and size < LARGEST:
                return file.read(size)
            place += 12 + size
    return b''
