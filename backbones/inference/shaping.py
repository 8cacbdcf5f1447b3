"""Resizing an image for an exported file like a config's test pipeline would."""

from collections.abc import Sequence

import cv2
import numpy as np

from backbones.errors import UserError, listed

MEAN = (123.675, 116.28, 103.53)  # ImageNet's, in RGB order
KNOWN = {  # transforms and their arguments
    'Resize': ('scale', 'scale_factor', 'keep_ratio', 'clip_object_border'),
    'ResizeToMultiple': ('size_divisor',),
}
Size = tuple[int, int]  # height and width in pixels


class Shaping:
    """The size to which an image is brought.

    Args:
        path: the file's path, for errors.
        transforms: the config's test pipeline in the file's metadata; None if it has none.
        fits: height and width into which each image must fit; None for any size.

    Raises:
        UserError: a transform is not a Resize, or has arguments that are not known here.
    """

    def __init__(self, path: str, transforms: Sequence[dict] | None, fits: Size | None) -> None:
        self.transforms, self.fits = transforms, fits
        faults = [
            str(step)
            for step in transforms or ()
            if not {*step} <= {'type', *KNOWN.get(step['type'].rpartition('.')[2], ())}
        ]
        if faults:
            raise UserError(
                f'{path}: its config prepares images by {"; ".join(faults)}, which is not '
                f'supported; allowed: {_told(KNOWN)}. Predict with the config and its checkpoint, '
                'or export it from a config with another test pipeline'
            )

    def size(self, height: int, width: int) -> Size:
        """Return the height and width of an image after the transforms, before padding."""
        for step in self.transforms or ():
            height, width = _resized_by(step, height, width)
        if self.fits:
            factor = min(self.fits[0] / height, self.fits[1] / width)
            if factor < 1 or self.transforms is None:
                return _scaled(factor, height, width)
        return height, width


def _told(known: dict[str, tuple[str, ...]]) -> str:
    return ' and '.join(f'{name} with {listed(arguments)}' for name, arguments in known.items())


def _resized_by(step: dict, height: int, width: int) -> Size:
    """Return the size that mmcv's Resize or MMSegmentation's ResizeToMultiple turns a size into."""
    if 'size_divisor' in step:
        divisor = step['size_divisor']
        return -(-height // divisor) * divisor, -(-width // divisor) * divisor
    if not step.get('scale'):
        factors = step['scale_factor']
        x, y = factors if isinstance(factors, list) else (factors, factors)
        right, below = width * x + 0.5, height * y + 0.5
    else:
        scale = step['scale']
        right, below = scale if isinstance(scale, list) else (scale, scale)
    if not step.get('keep_ratio'):
        return max(1, int(below)), max(1, int(right))
    factor = min(max(right, below) / max(height, width), min(right, below) / min(height, width))
    return _scaled(factor, height, width)


def _scaled(factor: float, height: int, width: int) -> Size:
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def resized(pixels: np.ndarray, size: Size) -> np.ndarray:
    """Resize an image or a map like mmcv and PyTorch."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR))


def padded(pixels: np.ndarray, size: Size | None, mean: Sequence[float] | None) -> np.ndarray:
    """Pad an image (h, w, C) at the right and bottom with values that become zero in the model."""
    if size is None or pixels.shape[:2] == size:
        return pixels
    whole = np.empty((*size, pixels.shape[2]), pixels.dtype)
    whole[:] = mean or MEAN
    whole[: pixels.shape[0], : pixels.shape[1]] = pixels
    return whole
