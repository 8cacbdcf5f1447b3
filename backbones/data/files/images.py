"""Facts about image files: size, pixel format, damage; from the header alone, or decoded."""

import contextlib
import hashlib
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from backbones.data.files.file_signs import has_end, what_else
from backbones.data.files.label_mapping import raw_values
from backbones.errors import UnreadableError
from backbones.file_digest import sha256
from backbones.orientation import SWAPPED, UPRIGHT, orientation_in
from backbones.pixels import ARRAYS, LARGEST, read_pixels, stored

LARGE = 1 << 26  # pixels; images above this are decoded one at a time
# errors that Pillow raises for damaged files of various kinds
DAMAGED = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, EOFError, MemoryError),
    *(struct.error, zlib.error, OverflowError, IndexError, AttributeError),
)
SIDES = (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength)
ARRAY = 'array'  # format of a .npy file
COLOURED = ('RGB', 'RGBA', 'LA', 'PA', 'CMYK', 'YCbCr')  # modes of several channels
DEEP_MODES = ('I', 'F', 'I;16', 'I;16B', 'I;16L', 'I;16N')


@dataclass
class ImageFacts:
    """Facts about an image file.

    Args:
        path: the file.
        fault: the kind of fault that makes the file unusable, with `detail`; '' if none.
        size: width and height in pixels as MMDetection and MMSegmentation load them, with the EXIF
            orientation applied.
        turned: whether the EXIF orientation changes the image on loading.
        mode: Pillow's name for the pixel format, such as 'RGB', 'L' or 'P'.
        format: Pillow's name for the file format, such as 'JPEG'.
        bits: per channel.
        frames: number of frames or pages in the file.
        channels, kind: number and type of the values of a pixel, as `read_pixels` returns them.
        lossy: whether the file format changes values, which is wrong for a label map.
        values: sorted values of a decoded label map, or packed colours; later turned into labels.
        counts: number of pixels with each value.
        unmapped: values that stand for no class, with their shares of the pixels.
        grey: whether a label map has several equal channels.
        palette: colours in which viewers show a label map's values; none without a palette.
        largest: largest absolute value of an image that was read as it is; 0 if unknown.
    """

    path: Path
    fault: str = ''
    detail: str = ''
    size: tuple[int, int] = (0, 0)
    turned: bool = False
    mode: str = ''
    format: str = ''
    bits: int = 8
    frames: int = 1
    channels: int = 3
    kind: str = 'uint8'
    lossy: bool = False
    values: np.ndarray | None = None
    counts: np.ndarray | None = None
    unmapped: list[tuple[int, float]] = field(default_factory=list)
    grey: bool = False
    palette: dict[int, tuple[int, ...]] = field(default_factory=dict)
    largest: float = 0.0

    @property
    def special(self) -> bool:
        """Whether MMDetection's and MMSegmentation's loaders lose some of its bits or channels."""
        return self.kind != 'uint8' or self.channels not in (1, 3, 4) or self.format == ARRAY


def image_facts(path: Path, *, decode: bool) -> ImageFacts:
    """Inspect an image file.

    Args:
        decode: read all pixels; otherwise only the end of the file is checked for damage.
    """
    found = ImageFacts(path)
    try:
        str(path).encode()
    except UnicodeEncodeError:  # OpenCV would end the process
        found.fault = 'control-character'
        return found
    try:
        with _open(found) as image:
            if image is not None:
                _read_header(found, image)
    except DAMAGED as error:
        found.fault, found.detail = 'damaged-image', str(error)
    if found.fault not in ('missing-image', 'empty-file'):
        _read_channels(found)
    if found.fault:
        return found
    if found.size[0] * found.size[1] > LARGEST:
        found.fault, found.detail = 'too-many-pixels', '{}x{}'.format(*found.size)
    elif found.special:
        if decode:
            _decode_channels(found)
    elif not cv2.haveImageReader(str(path)):
        found.fault, found.detail = 'unsupported-format', found.format
    elif decode or not has_end(path, found.format):
        _decode(found)
    return found


def label_facts(path: Path, *, decode: bool, in_colours: bool = False) -> ImageFacts:
    """Inspect a label map as MMSegmentation loads it: with Pillow, ignoring EXIF orientation.

    Args:
        decode: read the values, too.
        in_colours: the values are colours.
    """
    found = ImageFacts(path)
    try:
        with _open(found) as image:
            if image is None:
                return found
            _read_header(found, image)
            found.size, found.turned = image.size, False
            if image.size[0] * image.size[1] > LARGEST:
                found.fault, found.detail = 'too-many-pixels', '{}x{}'.format(*image.size)
                return found
            if decode or not has_end(path, found.format):
                values = raw_values(image, in_colours=in_colours)
                found.grey = image.mode in COLOURED and values.ndim == 2 and not in_colours
                if values.ndim == 2:
                    found.values, found.counts = np.unique(values, return_counts=True)
                    if image.mode == 'P' and not in_colours:
                        found.palette = _palette(image, found.values)
                    found.values = np.nan_to_num(found.values, nan=-1)  # no class has -1
    except DAMAGED as error:
        found.fault, found.detail = 'damaged-image', str(error)
    return found


@contextmanager
def _open(found: ImageFacts) -> Iterator[Image.Image | None]:
    """Open an image; None, with the fault recorded, if it cannot be opened."""
    path = found.path
    if not os.path.isfile(path):  # does not raise if the name is too long
        found.fault = 'missing-image'
        yield None
    elif not path.stat().st_size:
        found.fault = 'empty-file'
        yield None
    else:
        try:
            image = Image.open(path)
        except DAMAGED:
            found.fault, found.detail = what_else(path)
            yield None
            return
        with image:
            yield image


def _read_header(found: ImageFacts, image: Image.Image) -> None:
    found.size = image.size
    found.mode, found.format = image.mode, image.format or ''
    found.frames = getattr(image, 'n_frames', 1) if found.format != 'MPO' else 1
    found.lossy = found.format in ('JPEG', 'MPO') or (
        found.format == 'WEBP' and _is_lossy(found.path)
    )
    if 'transparency' in image.info and found.mode != 'RGBA':
        found.mode += ' with transparency'
    orientation = orientation_in(found.path, image)
    found.turned = orientation != UPRIGHT
    if found.format == 'TIFF':  # some versions of Pillow swapped the sides
        width, height = (image.tag_v2[side] for side in SIDES)  # type: ignore[attr-defined]
        found.size = width, height
    if orientation in SWAPPED:
        found.size = found.size[::-1]
    if found.format == 'PNG':  # Pillow reports 16-bit colours as RGB
        with open(found.path, 'rb') as file:
            found.bits = file.read(25)[24]
    elif found.format == 'TIFF':
        found.bits = max(image.tag_v2.get(258) or (1,))  # type: ignore[attr-defined]
    elif found.mode in DEEP_MODES:
        found.bits = 16


def _read_channels(found: ImageFacts) -> None:
    """Add number and type of the channels; Pillow knows few kinds of TIFF, and no arrays."""
    if 'A' in found.mode or 'transparency' in found.mode:
        found.channels = 4
    elif found.mode in ('1', 'L', *DEEP_MODES):
        found.channels = 1
    if found.bits > 8:
        found.kind = f'uint{found.bits}'
    try:
        there = stored(found.path)
    except UnreadableError as error:
        if found.path.suffix.lower() in ARRAYS:
            found.fault, found.detail = 'damaged-image', str(error).partition(': ')[2]
        return
    if there is None:
        return
    if found.fault or there.dtype != np.uint8:
        found.bits = 8 * there.dtype.itemsize
    if found.fault:  # found by Pillow
        found.fault = found.detail = ''
        found.size, found.turned = there.size, there.turned
        found.mode = f'{there.channels} channels of {there.dtype}'
        found.format = ARRAY if found.path.suffix.lower() in ARRAYS else 'TIFF'
    if there.size == found.size:
        found.channels, found.kind = there.channels, there.dtype.name


def _is_lossy(path: Path) -> bool:
    with open(path, 'rb') as file:
        return b'VP8L' not in file.read(64)


_one_by_one = threading.Lock()


def _in_turn(found: ImageFacts) -> AbstractContextManager:
    """Wait until no other large image is being decoded, if this one is large."""
    large = found.size[0] * found.size[1] > LARGE
    return _one_by_one if large else contextlib.nullcontext()


def _decode(found: ImageFacts) -> None:
    """Load all pixels with both libraries: OpenCV silently fills a truncated JPEG with grey."""
    with _in_turn(found):
        try:
            # as mmcv does it: imread does not read everything that imdecode reads
            if cv2.imdecode(np.fromfile(found.path, np.uint8), cv2.IMREAD_COLOR) is None:
                found.fault, found.detail = 'damaged-image', 'OpenCV cannot load it'
                return
            with Image.open(found.path) as image:
                image.load()
        except (*DAMAGED, cv2.error) as error:
            found.fault, found.detail = 'damaged-image', str(error) or 'too large for memory'


def _decode_channels(found: ImageFacts) -> None:
    with _in_turn(found):
        try:
            found.largest = float(np.abs(read_pixels(found.path)).max(initial=0))
        except UnreadableError as error:
            found.fault, found.detail = 'damaged-image', str(error).partition(': ')[2]
        except MemoryError:
            found.fault, found.detail = 'damaged-image', 'too large for memory'


def _palette(image: Image.Image, values: np.ndarray) -> dict[int, tuple[int, ...]]:
    """Return the colours of an image's values; none if its palette is a grey ramp."""
    colours = np.reshape(image.getpalette('RGB') or [], (-1, 3))
    found = {int(v): tuple(colours[v].tolist()) for v in values if v < len(colours)}
    return {} if all({*colour} == {value} for value, colour in found.items()) else found


def content_key(path: Path, *, whole: bool) -> str:
    """Return a hash of a file's content, or of its first 256 KiB."""
    if whole:
        return sha256(path)
    with open(path, 'rb') as file:
        return hashlib.blake2b(file.read(256 << 10)).hexdigest()
