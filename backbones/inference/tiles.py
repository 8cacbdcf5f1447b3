"""What lies in several tiles of an image: scores are averaged, instances are not counted twice."""

from collections.abc import Callable, Iterable
from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor

from backbones.drawing.captions import Picture

OVERLAP = 3  # tiles overlap by a third, as crops do in MMSegmentation's configs
TOUCHES = 4  # pixels; a box that ends so near to the edge of a tile may go on behind it


def stride_of(tile: int) -> int:
    """Of tiles, in pixels."""
    return tile - tile // OVERLAP


def label_map(
    image: Picture,
    tile: int,
    stride: int,
    *,
    scores: Callable[[Iterable[Picture]], Iterable[Tensor]],
    decide: Callable[[Tensor], Tensor],
) -> np.ndarray:
    """Average the scores of overlapping tiles, and take labels from them.

    Tiles and the order of the sums, and so the labels, are those of MMSegmentation's
    `EncoderDecoder.slide_inference`, which adds maps of the whole image. Here the scores of a pixel
    are dropped with the last tile that has it: kept are those in the rows that the next row of
    tiles has, too.

    Args:
        image: (H, W, 3).
        tile: side in pixels; a smaller image is one tile.
        stride: of the tiles, in pixels; the last ones end with the image.
        scores: gives a (C, h, w) map for each tile.
        decide: gives labels (h, w) for averaged scores.

    Returns:
        (H, W) of 8 bits, or of 16 if there are more than 256 classes.
    """
    height, width = image.shape[:2]
    tops, lefts = starts(height, tile, stride), starts(width, tile, stride)
    rows, columns = _counts(tops, tile, height), _counts(lefts, tile, width)
    tiles = (image[y : y + tile, x : x + tile] for y, x in product(tops, lefts))
    labels = np.empty((height, width), np.uint8)
    above = beside = torch.empty(0)  # sums that the next row of tiles adds to, and the next tile
    for ((i, y), (j, x)), found in zip(product(enumerate(tops), enumerate(lefts)), scores(tiles)):
        total = found.float()
        if not i and not j:
            above = total.new_empty(len(total), shared_rows(height, tile, stride), width)
            labels = labels.astype(np.uint8 if len(total) <= 256 else np.uint16)
        begin = lefts[j - 1] + tile if j else x  # to the left, `beside` has what is above, too
        total[..., : begin - x] += beside if j else 0
        if i:
            shared = tops[i - 1] + tile - y
            total[:, :shared, begin - x :] += above[:, :shared, begin : x + tile]
        down = tops[i + 1] if i + 1 < len(tops) else height
        right = lefts[j + 1] if j + 1 < len(lefts) else width
        done = total[:, : down - y, : right - x]
        count = rows[y:down, None] * columns[x:right]
        done /= count.to(done)  # no tile adds to these any more
        labels[y:down, x:right] = decide(done).cpu().numpy()
        below = total[:, down - y :, : right - x]
        above[:, : below.shape[1], x:right] = below
        beside = total[..., right - x :]
    return labels


def starts(length: int, tile: int, stride: int) -> list[int]:
    """Where the tiles along a side begin."""
    last = max(length - tile, 0)
    return [*range(0, last, stride), last]


def shared_rows(length: int, tile: int, stride: int) -> int:
    """Of how many rows scores are kept, at most."""
    return max((a + tile - b for a, b in pairwise(starts(length, tile, stride))), default=0)


def _counts(begins: list[int], tile: int, length: int) -> Tensor:
    """In how many tiles each place along a side is."""
    count = torch.zeros(length)
    for begin in begins:
        count[begin : begin + tile] += 1
    return count


def inner(tile: Picture, image: Picture) -> list[bool]:
    """Whether the left, top, right and bottom edge of a tile, a view of an image, lies within."""
    top, rest = divmod(tile.ctypes.data - image.ctypes.data, image.strides[0])
    left = rest // image.strides[1]
    right, bottom = left + tile.shape[1], top + tile.shape[0]
    return [left > 0, top > 0, right < image.shape[1], bottom < image.shape[0]]


def cut(boxes: np.ndarray, shape: tuple, inner: list[bool], overlap: int) -> np.ndarray:
    """Tell which boxes are parts of instances that another tile shows whole.

    Args:
        boxes: (N, 4), left, top, right, bottom in pixels of the tile.
        shape: height and width of the tile.
        inner: whether the tile's left, top, right and bottom edge lies in the image.
        overlap: of neighbouring tiles, in pixels; narrower instances are whole in one of them.

    Returns:
        (N,) booleans.
    """
    edges = np.array([0, 0, shape[1], shape[0]])
    touches = (np.abs(boxes - edges) <= TOUCHES) & inner
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.any(touches & (np.tile(sides, 2) < overlap - TOUCHES), axis=1)
