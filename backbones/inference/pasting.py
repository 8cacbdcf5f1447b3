"""Paste the small masks of a Mask R-CNN into their image, without PyTorch."""

import numpy as np

from backbones.errors import ArgumentError


def paste(masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Paste each box's (28, 28) mask into the image, as MMDetection does.

    Args:
        masks: (N, 28, 28) probabilities.
        boxes: (N, 4) corners, in pixels.
        size: height and width of the image, in pixels.

    Returns:
        (N, H, W) probabilities.

    Raises:
        ArgumentError: the numbers of boxes and masks differ.
    """
    masks, boxes = np.asarray(masks), np.asarray(boxes)
    if len(masks) != len(boxes):
        raise ArgumentError(f'{len(masks)} masks and {len(boxes)} boxes; each mask needs one box')
    whole = np.zeros((len(masks), *size), np.float32)
    for i, (mask, box) in enumerate(zip(masks, boxes)):
        rows, columns, values = pasted(mask, box, size)
        whole[i, rows, columns] = values
    return whole


def pasted(
    mask: np.ndarray, box: np.ndarray, size: tuple[int, int]
) -> tuple[slice, slice, np.ndarray]:
    """Return the rows and columns that a mask covers, and its probabilities there."""
    x1, y1, x2, y2 = box.tolist()
    rows, above = _weights(size[0], y1, y2, mask.shape[0])
    columns, left = _weights(size[1], x1, x2, mask.shape[1])
    return rows, columns, above @ mask @ left.T


def _weights(length: int, start: float, end: float, cells: int) -> tuple[slice, np.ndarray]:
    """Return an axis's pixels in or next to a box, and the weight of each mask cell for them.

    The weights are those of bilinear interpolation with zeros around the mask. As in MMDetection,
    all pixels count as the centre of a box without extent.
    """
    first, last = max(int(np.floor(start)) - 1, 0), min(int(np.ceil(end)) + 1, length)
    with np.errstate(divide='ignore', invalid='ignore'):
        place = (np.arange(first, last) + 0.5 - start) / (end - start)  # 0 to 1 inside the box
    place[~np.isfinite(place)] = 0.5
    distance = np.abs(place[:, None] * cells - 0.5 - np.arange(cells))
    return slice(first, max(first, last)), np.maximum(0, 1 - distance).astype(np.float32)
