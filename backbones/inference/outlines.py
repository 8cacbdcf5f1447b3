"""Outlines of masks along the edges of their pixels."""

import cv2
import numpy as np


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Return a polygon for each part of a mask, with its holes.

    supervision's outlines run through the centres of pixels, so readers lose half a pixel on each
    side. From these outlines, pycocotools and OpenCV restore the mask exactly.

    Args:
        mask: (H, W) booleans.

    Returns:
        Polygons of (N, 2) points x, y in pixels. COCO and YOLO polygons have no holes, so a seam
        without width leads to each hole and back.
    """
    # contours run through the centres of pixels, which here are next to the edges of the mask's
    twice = mask.astype(np.uint8).repeat(2, 0).repeat(2, 1)
    contours, order = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [np.round((contour[:, 0] + 0.5) / 2) for contour in contours]
    parts = {i: [ring] for i, ring in enumerate(rings) if order[0, i, 3] < 0}
    for i, ring in enumerate(rings):
        if i not in parts:
            parts[order[0, i, 3]].append(ring)
    return [joined(some) for some in parts.values()]


def joined(rings: list[np.ndarray]) -> np.ndarray:
    """Join polygons into one by seams between their closest points."""
    whole, *rest = rings
    for ring in rest:
        far = ((whole[:, None] - ring[None]) ** 2).sum(-1)
        i, j = np.unravel_index(far.argmin(), far.shape)
        whole = np.concatenate([whole[: i + 1], ring[j:], ring[: j + 1], whole[i:]])
    return whole
