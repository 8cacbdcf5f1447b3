"""Read image files with all their channels, as they are stored; the only reader of such images.

Training, checks, predictions and pictures use it, so they see the same numbers.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import ExifTags

from backbones.errors import UnreadableError
from backbones.orientation import SWAPPED, UPRIGHT, orientation_of, turned

ARRAYS = ('.npy',)
TIFF = ('.tif', '.tiff')
HEADS = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')  # first bytes of TIFF and BigTIFF files
FLAT = 16  # rows; an array with fewer rows has its channels first
SIDES = {'Y', 'X'}
LARGEST = 1 << 30  # pixels; limit of OpenCV, which MMDetection and MMSegmentation use
TAILS = (2, 98)  # percentiles of the values that a picture shows as black and white
logging.getLogger('tifffile').setLevel(logging.CRITICAL)  # its errors are enough


@dataclass(frozen=True)
class Stored:
    """What a TIFF or `.npy` file claims to hold."""

    size: tuple[int, int]  # width and height in pixels, as `read_pixels` returns it
    channels: int
    dtype: np.dtype
    orientation: int = UPRIGHT

    @property
    def turned(self) -> bool:
        return self.orientation != UPRIGHT


def stored(path: Path) -> Stored | None:
    """Return what a TIFF or `.npy` file holds, from its header; None for other kinds of files.

    Raises:
        UnreadableError: it is damaged, or holds no image.
    """
    if not is_special(path):
        return None
    orientation = UPRIGHT
    try:
        if path.suffix.lower() in ARRAYS:
            array = np.load(path, mmap_mode='r', allow_pickle=False)
            axes = 'YX' if array.ndim == 2 else 'YXS'
            shape, dtype = array.shape, array.dtype
        else:
            with tifffile.TiffFile(path) as file:
                axes, shape, dtype = _pages(file)
                tag = file.pages.first.tags.get(ExifTags.Base.Orientation)
                orientation = int(tag.value) if tag else UPRIGHT
    except Exception as error:  # tifffile raises anything for a damaged header
        raise UnreadableError(f'{path}: damaged image ({error})') from error
    place = _order(path, axes, shape)
    height, width = (shape[i] for i in place[:2])
    if min(shape) < 1:
        raise UnreadableError(f'{path}: damaged image (shape {tuple(shape)})')
    if dtype.kind not in 'biuf':
        raise UnreadableError(f'{path}: values of type {dtype}; allowed: integers and floats')
    size = (height, width) if orientation in SWAPPED else (width, height)
    return Stored(size, shape[place[2]] if len(place) > 2 else 1, dtype, orientation)


def is_special(path: Path) -> bool:
    """Return whether a file is an array, or a TIFF by its suffix and its first bytes."""
    if path.suffix.lower() not in TIFF:
        return path.suffix.lower() in ARRAYS
    with path.open('rb') as file:
        return file.read(4) in HEADS


def _pages(file: tifffile.TiffFile) -> tuple[str, tuple[int, ...], np.dtype]:
    """Return axes, shape and type of a TIFF's image; pages of one size are its channels."""
    first, number = file.series[0], len(file.series)
    if number > 1 and {(s.axes, s.shape, s.dtype) for s in file.series} == {
        ('YX', first.shape, first.dtype)
    }:  # a program appended page by page
        return 'CYX', (number, *first.shape), np.dtype(first.dtype)
    return first.axes, first.shape, np.dtype(first.dtype)


def _order(path: Path, axes: str, shape: Sequence[int]) -> list[int]:
    """Return the positions of rows, columns and, if there are several, channels among the axes."""
    others = [i for i, axis in enumerate(axes) if axis not in SIDES and shape[i] > 1]
    flipped = path.suffix.lower() in ARRAYS and len(shape) > 2 and shape[0] < min(FLAT, *shape[1:])
    if len(axes) != len(shape) or not set(axes) >= SIDES or len(others) > 1 or flipped:
        raise UnreadableError(
            f'{path}: shape {tuple(shape)}; allowed: height, width and at most one axis of '
            'channels, in .npy as (height, width, channels): save each image as a separate file'
        )
    return [axes.index('Y'), axes.index('X'), *others]


def read_pixels(path: Path, channels: int | None = None, values: str | None = None) -> np.ndarray:
    """Read an image file.

    TIFF: the bands of a page, or the pages. PNG and other formats: RGB, with alpha as a fourth
    channel, rotated as the camera's orientation tag says.

    Args:
        channels: the required number of channels.
        values: the required type, such as 'uint16'.

    Returns:
        (H, W, C), with the file's values and type.

    Raises:
        UnreadableError: missing or damaged, with other channels or values, or with NaN or infinity.
    """
    if not path.is_file():
        raise UnreadableError(f'{path}: missing image')
    pixels = _special(path) if is_special(path) else _ordinary(path)
    if channels is not None and pixels.shape[2] != channels:
        raise UnreadableError(f'{path}: {pixels.shape[2]} channels instead of {channels}')
    if values is not None and pixels.dtype.name != values:
        raise UnreadableError(f'{path}: values of type {pixels.dtype.name} instead of {values}')
    if pixels.dtype.kind == 'f' and not np.isfinite(pixels).all():
        raise UnreadableError(f'{path}: NaN or infinite values; replace them by a number')
    return pixels


def _special(path: Path) -> np.ndarray:
    header = stored(path)  # refuses what has no single image
    assert header is not None
    if header.size[0] * header.size[1] > LARGEST:
        raise UnreadableError(f'{path}: {header.size[0]}x{header.size[1]}, too many pixels')
    try:
        if path.suffix.lower() in ARRAYS:
            pixels = np.load(path, allow_pickle=False)
            axes = 'YX' if pixels.ndim == 2 else 'YXS'
        else:
            with tifffile.TiffFile(path) as file:
                axes, shape, _ = _pages(file)
                pixels = file.asarray(key=slice(None) if axes[0] == 'C' else None)
                pixels = pixels.reshape(shape)
    except Exception as error:
        packed = 'imagecodecs' in str(error)
        more = '; install that package, or save without compression' if packed else ''
        raise UnreadableError(f'{path}: damaged image ({error}){more}') from error
    place = _order(path, axes, pixels.shape)
    rest = [i for i in range(pixels.ndim) if i not in place]
    pixels = pixels.transpose(*place, *rest)
    return turned(pixels.reshape(*pixels.shape[:2], -1), header.orientation)


def _ordinary(path: Path) -> np.ndarray:
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UnreadableError(f'{path}: {error}') from error
    if pixels is None:
        raise UnreadableError(f'{path}: damaged image')
    pixels = np.atleast_3d(pixels)
    if pixels.shape[2] > 1:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    return turned(pixels, orientation_of(path))


def to_rgb(pixels: np.ndarray, bands: Sequence[int] = (0, 1, 2)) -> np.ndarray:
    """Return a picture of an image with any channels.

    Args:
        pixels: (H, W, C).
        bands: the channels to show as red, green and blue, counted from 0; missing ones are black,
            and a single channel is grey.

    Returns:
        (H, W, 3), bytes. For types with more than 8 bits, each band is stretched so that 2 % of its
        values are black and 2 % white.
    """
    number = pixels.shape[2]
    chosen = [0, 0, 0] if number == 1 else [band if band < number else -1 for band in bands]
    planes = {band: _byte(pixels[..., band]) for band in set(chosen) - {-1}}
    black = np.zeros(pixels.shape[:2], np.uint8)
    return np.stack([planes.get(band, black) for band in chosen], -1)


def _byte(plane: np.ndarray) -> np.ndarray:
    if plane.dtype == np.uint8:
        return plane
    low, high = np.percentile(plane, TAILS)
    return ((plane - low) / max(high - low, 1e-12) * 255).clip(0, 255).round().astype(np.uint8)


def view(path: Path | str, bands: Sequence[int] | None = None) -> np.ndarray:
    """Read an image file as a picture to look at.

    Args:
        bands: see `to_rgb`; None reads an ordinary image, as OpenCV does.

    Returns:
        (H, W, 3) RGB, bytes.

    Raises:
        UnreadableError: missing or damaged.
    """
    if bands is not None:
        return to_rgb(read_pixels(Path(path)), bands)
    content = np.fromfile(path, np.uint8) if Path(path).is_file() else np.empty(0, np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB) if content.size else None
    if pixels is None:
        raise UnreadableError(f'{path}: missing or damaged image')
    return np.asarray(pixels, np.uint8)
