"""Pictures of predictions, alone or beside the ground truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import supervision as sv

from backbones.drawing.captions import PAPER, Picture, legend, on_paper, title
from backbones.drawing.paint import Found, amounts_of, are_readable, paint
from backbones.drawing.palette import Classes
from backbones.errors import UserError

SCORE = 0.5  # minimum score of drawn instances; at 0.3, many objects get two names
LEAST = 0.0005  # minimum share of the pixels for an entry in the legend
SMALLEST, LARGEST = 288, 3000  # limits of an image's long side in a picture, in pixels


@dataclass
class Half:
    """One copy of an image.

    Args:
        title: the title above it; '' for none.
        found: what to paint on it.
    """

    title: str
    found: Found | None


def picture(image: Picture, halves: Sequence[Half], meta: Mapping) -> Picture:
    """Draw one or two copies of an image. See `draw` and `side_by_side`."""
    classes = Classes(meta)
    image, factor = _readable(image)
    height, width = image.shape[:2]
    letters = max(13, max(height, width) // 80)
    named = all(are_readable(image, half.found, classes, letters) for half in halves)
    amounts = [{} if named else amounts_of(half.found, classes) for half in halves]
    parts = []
    for half, amount in zip(halves, amounts):
        painted = paint(image, half.found, factor, classes, letters if named else None)
        text = '{}: {:.0f}' if _has_instances(half.found) else '{}: {:.1%}'
        entries = [
            (text.format(classes.name(c), amount[c]), classes.colours.by_idx(c))
            for c in sorted(amount, key=lambda c: -amount[c])
            if amount[c] > LEAST
        ]
        heading = [title(half.title, painted.shape[1], letters)] if half.title else []
        parts.append(np.vstack([*heading, painted, legend(entries, painted.shape[1], letters)]))
    if len(parts) == 1:
        return parts[0]
    if width > 2 * height:
        return np.vstack(parts)
    tall = max(map(len, parts))
    parts = [on_paper(part, part.shape[1], tall) for part in parts]
    gap = np.full((tall, letters // 2, 3), PAPER, np.uint8)
    return np.hstack([parts[0], gap, parts[1]])


def _has_instances(found: Found | None) -> bool:
    return isinstance(found, sv.Detections)


def _readable(image: Picture) -> tuple[Picture, float]:
    """Enlarge a small image, reduce a huge one; return it with the factor."""
    longest, factor = max(image.shape[:2]), 1.0
    if longest < SMALLEST:
        factor = -(-SMALLEST // longest)
    elif longest > LARGEST:
        factor = LARGEST / longest
    size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    how = cv2.INTER_LINEAR if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8), factor


def save(path: Path, pixels: np.ndarray, options: Sequence[int] = ()) -> None:
    """Write an image file in the format of its suffix; missing folders are made.

    OpenCV's own function does not say why it failed.

    Args:
        pixels: (H, W), or (H, W, 3) in BGR, of 8 or 16 bits.
        options: OpenCV's, such as `cv2.IMWRITE_JPEG_QUALITY, 90`.

    Raises:
        UserError: the disk is full, or the folder is not writable.
    """
    _, content = cv2.imencode(path.suffix, pixels, options)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.tobytes())
    except OSError as error:
        raise UserError(f'{path} could not be written: {error.strerror}') from error
