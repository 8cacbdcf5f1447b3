"""The outlines of a mask, along the edges of its pixels."""

import cv2
import numpy as np


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Return a polygon for each part of a mask, with its holes.

    supervision's run through the centres of pixels, so that readers lose half a pixel at each side.
    From these, pycocotools and OpenCV give the mask back.

    Args:
        mask: (H, W), of booleans.

    Returns:
        Polygons of (N, 2) points x, y in pixels. COCO's and YOLO's have no holes: a seam of no
        width leads to each, and back.
    """
    # a contour runs through the centres of pixels, which here lie beside the edges of the mask's
    twice = mask.astype(np.uint8).repeat(2, 0).repeat(2, 1)
    contours, order = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [np.round((contour[:, 0] + 0.5) / 2) for contour in contours]
    parts = {i: [ring] for i, ring in enumerate(rings) if order[0, i, 3] < 0}
    for i, ring in enumerate(rings):
        if i not in parts:
            parts[order[0, i, 3]].append(ring)
    return [joined(some) for some in parts.values()]


def joined(rings: list[np.ndarray]) -> np.ndarray:
    """Join polygons to a single one, by seams between their closest points."""
    whole, *rest = rings
    for ring in rest:
        far = ((whole[:, None] - ring[None]) ** 2).sum(-1)
        i, j = np.unravel_index(far.argmin(), far.shape)
        whole = np.concatenate([whole[: i + 1], ring[j:], ring[: j + 1], whole[i:]])
    return whole
