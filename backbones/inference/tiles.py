"""Merging overlapping tiles of an image: average their scores, count instances once."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import supervision as sv

from backbones.drawing.captions import Picture

Scores = Any  # float32 array of PyTorch, on any device, or of numpy

OVERLAP = 3  # tiles overlap by a third, as crops do in MMSegmentation's configs
TOUCHES = 4  # pixels; a box this close to a tile's edge may continue beyond it
SAME = 0.5  # share of the smaller of two instances; with a larger overlap they count as one


def stride_of(tile: int) -> int:
    """Return the distance between tiles, in pixels."""
    return tile - tile // OVERLAP


def label_map(
    image: Picture,
    tile: int,
    stride: int,
    *,
    scores: Callable[[Iterable[Picture]], Iterable[Scores]],
    decide: Callable[[Scores], Any],
) -> np.ndarray:
    """Average the scores of overlapping tiles and derive the labels.

    Tiles and the order of summation, and thus the labels, are those of MMSegmentation's
    `EncoderDecoder.slide_inference`, which sums maps of the whole image. Here, a pixel's scores
    are dropped after the last tile that contains it: only rows shared with the next row of tiles
    are kept.

    Args:
        image: (H, W, 3).
        tile: side in pixels; a smaller image is one tile.
        stride: distance between tiles in pixels; the last ones end with the image.
        scores: returns a (C, h, w) map for each tile, which is overwritten.
        decide: returns labels (h, w), in host memory, for averaged scores.

    Returns:
        (H, W) with 8 bits, or with 16 if there are more than 256 classes.
    """
    height, width = image.shape[:2]
    tops, lefts = starts(height, tile, stride), starts(width, tile, stride)
    rows, columns = _counts(tops, tile, height), _counts(lefts, tile, width)
    tiles = (image[y : y + tile, x : x + tile] for y, x in product(tops, lefts))
    labels = np.empty((height, width), np.uint8)
    above = beside = np.empty(0)  # sums to which the next row of tiles, and the next tile, add
    for ((i, y), (j, x)), total in zip(product(enumerate(tops), enumerate(lefts)), scores(tiles)):
        if not i and not j:
            above = _empty(total, (len(total), shared_rows(height, tile, stride), width))
            labels = labels.astype(np.uint8 if len(total) <= 256 else np.uint16)
        begin = lefts[j - 1] + tile if j else x  # to the left, `beside` already includes `above`
        total[..., : begin - x] += beside if j else 0
        if i:
            shared = tops[i - 1] + tile - y
            total[:, :shared, begin - x :] += above[:, :shared, begin : x + tile]
        down = tops[i + 1] if i + 1 < len(tops) else height
        right = lefts[j + 1] if j + 1 < len(lefts) else width
        done = total[:, : down - y, : right - x]
        count = rows[y:down, None] * columns[x:right]
        done /= count if isinstance(done, np.ndarray) else done.new_tensor(count)  # it is complete
        labels[y:down, x:right] = decide(done)
        below = total[:, down - y :, : right - x]
        above[:, : below.shape[1], x:right] = below
        beside = total[..., right - x :]
    return labels


def _empty(like: Scores, shape: tuple[int, ...]) -> Scores:
    return np.empty(shape, like.dtype) if isinstance(like, np.ndarray) else like.new_empty(shape)


def starts(length: int, tile: int, stride: int) -> list[int]:
    """Return the positions at which the tiles along a side begin."""
    last = max(length - tile, 0)
    return [*range(0, last, stride), last]


def shared_rows(length: int, tile: int, stride: int) -> int:
    """Return the largest number of rows whose scores are kept."""
    return max((a + tile - b for a, b in pairwise(starts(length, tile, stride))), default=0)


def _counts(begins: list[int], tile: int, length: int) -> np.ndarray:
    """Return the number of tiles that contain each position along a side."""
    count = np.zeros(length, np.float32)
    for begin in begins:
        count[begin : begin + tile] += 1
    return count


def instances(
    image: Picture,
    tile: int,
    batch: int,
    *,
    detect: Callable[[list[Picture]], Sequence[sv.Detections]],
) -> sv.Detections:
    """Find the instances in overlapping tiles, each once.

    Args:
        image: (H, W, C).
        tile: side in pixels.
        batch: number of tiles per call of `detect`.
        detect: returns the instances in each tile.
    """
    image = np.ascontiguousarray(image)  # tiles are views, located by their address in memory
    overlap = tile - stride_of(tile)

    def whole(tiles: list[Picture]) -> list[sv.Detections]:
        return [
            found.select(~_cut(found.xyxy, part.shape, _inner(part, image), overlap))
            for part, found in zip(tiles, detect(tiles))
        ]

    slicer = sv.InferenceSlicer(
        whole if batch > 1 else lambda part: whole([part])[0],
        slice_wh=tile,
        overlap_wh=overlap,
        iou_threshold=SAME,
        overlap_metric=sv.OverlapMetric.IOS,
        compact_masks=True,
        batch_size=batch,
    )
    return slicer(image)


def _inner(tile: Picture, image: Picture) -> list[bool]:
    """Return whether a tile's left, top, right and bottom edges are inside its image."""
    top, rest = divmod(tile.ctypes.data - image.ctypes.data, image.strides[0])
    left = rest // image.strides[1]
    right, bottom = left + tile.shape[1], top + tile.shape[0]
    return [left > 0, top > 0, right < image.shape[1], bottom < image.shape[0]]


def _cut(boxes: np.ndarray, shape: tuple, inner: list[bool], overlap: int) -> np.ndarray:
    """Return which boxes belong to instances that another tile shows whole.

    Args:
        boxes: (N, 4), left, top, right, bottom in pixels of the tile.
        shape: height and width of the tile.
        inner: whether the tile's left, top, right and bottom edges are inside the image.
        overlap: overlap of neighbouring tiles in pixels; one of them shows narrower instances
            whole.

    Returns:
        (N,) booleans.
    """
    edges = np.array([0, 0, shape[1], shape[0]])
    touches = (np.abs(boxes - edges) <= TOUCHES) & inner
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.any(touches & (np.tile(sides, 2) < overlap - TOUCHES), axis=1)
