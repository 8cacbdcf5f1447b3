"""Panoptic maps as instances: one for each segment, of things and of stuff."""

import numpy as np
import supervision as sv

OFFSET = 1000  # factor of an instance's number in a panoptic map, as in MMDetection


def segments(panoptic: np.ndarray, classes: int) -> sv.Detections:
    """Return the segments of a panoptic map, with a score of 1, since every pixel is decided.

    Args:
        panoptic: (H, W), 1000 times the instance's number plus the class; equal to `classes` where
            nothing was found.
        classes: the number of classes.
    """
    numbers = [n for n in np.unique(panoptic).tolist() if n % OFFSET < classes]
    masks = np.array([panoptic == n for n in numbers], bool).reshape(-1, *panoptic.shape)
    return sv.Detections(
        xyxy=np.reshape([_box(mask) for mask in masks], (-1, 4)).astype(float),
        class_id=np.array(numbers, int) % OFFSET,
        confidence=np.ones(len(numbers)),
        mask=masks,
    )


def panoptic_map(found: sv.Detections, shape: tuple[int, int], classes: int) -> np.ndarray:
    """Return the panoptic map (H, W) of segments, with the instances renumbered."""
    whole = np.full(shape, classes, np.int64)
    assert found.mask is not None and found.class_id is not None
    for number, (mask, label) in enumerate(zip(found.mask, found.class_id), 1):
        whole[mask] = number * OFFSET + label
    return whole


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the corners of the box around a non-empty mask."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
