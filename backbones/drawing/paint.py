"""Paint instances and label maps on an image."""

from collections import Counter

import cv2
import numpy as np
import supervision as sv

from backbones.drawing.captions import FONT, Picture, font, on_paper
from backbones.drawing.palette import Classes

Found = sv.Detections | np.ndarray  # instances, or an (H, W) label map
OPACITY = 0.5  # opacity of masks and label maps
CROWDED = 0.2  # share of a picture; names that cover more would hide what they name
PART = 1 << 22  # pixels counted at a time
NARROWEST = 240  # pixels, so that a title fits


def paint(
    image: Picture, found: Found | None, factor: float, classes: Classes, letters: int | None
) -> Picture:
    """Paint instances or a label map on a copy of the image.

    Args:
        image: (H, W, 3) RGB.
        found: instances in the coordinates of the original image, or a label map of any size.
        factor: size of the image relative to the original.
        classes: their names and colours.
        letters: height of the instances' names in pixels; None draws no names.

    Returns:
        (H, max(W, 240), 3) RGB; narrower images are padded with white.
    """
    width, height = max(image.shape[1], NARROWEST), len(image)
    if isinstance(found, sv.Detections) and len(found):
        found = _scaled(found, factor, image)
        scene = on_paper(_paint_shapes(image, found, classes), width, height)
        return _paint_names(scene, found, classes, letters) if letters else scene
    if isinstance(found, np.ndarray):
        image = _paint_labels(image, found, classes)
    return on_paper(image, width, height)


def are_readable(image: Picture, found: Found | None, classes: Classes, letters: int) -> bool:
    """Return whether instances' names leave enough of the image visible; False for label maps."""
    if not isinstance(found, sv.Detections):
        return found is None
    widths = (font(letters).getlength(name) + letters / 2 for name in _names(found, classes))
    return sum(widths) * 1.5 * letters < CROWDED * image.shape[0] * image.shape[1]


def amounts_of(found: Found | None, classes: Classes) -> dict[int, float]:
    """Return the number of instances per class, or each class's share of the pixels, 0 to 1."""
    if found is None:
        return {}
    if isinstance(found, sv.Detections):
        return dict(Counter(_numbers(found)))
    shares = ((c, number / found.size) for c, number in enumerate(pixels_of(found)))
    return {c: share for c, share in shares if share and classes.shows(c)}


def pixels_of(labels: np.ndarray) -> list[int]:
    """Count the pixels per label in chunks, because numpy takes 8 bytes per pixel."""
    total = np.zeros(labels.max() + 1, int)
    for part in np.array_split(labels, -(-labels.size // PART)):
        total += np.bincount(part.ravel(), minlength=len(total))
    return total.tolist()


def _paint_shapes(image: Picture, found: sv.Detections, classes: Classes) -> Picture:
    scene = image[..., ::-1].copy()  # supervision paints BGR
    if found.mask is not None:
        scene = sv.MaskAnnotator(classes.colours, opacity=OPACITY).annotate(scene, found)
    line = max(2, max(image.shape[:2]) // 400)
    return sv.BoxAnnotator(classes.colours, thickness=line).annotate(scene, found)[..., ::-1]


def _paint_names(image: Picture, found: sv.Detections, classes: Classes, letters: int) -> Picture:
    annotator = sv.RichLabelAnnotator(
        classes.colours,
        text_color=classes.letters,
        font_path=FONT,
        font_size=letters,
        text_padding=letters // 4,
        smart_position=True,
    )
    return annotator.annotate(image[..., ::-1].copy(), found, labels=_names(found, classes))[
        ..., ::-1
    ]


def _paint_labels(image: Picture, labels: np.ndarray, classes: Classes) -> Picture:
    """Blend a label map into its image and outline the areas.

    Background and "ignore" stay unpainted.
    """
    shown = list(amounts_of(labels, classes))
    hidden = max([*shown, 0]) + 1
    colours = np.zeros((hidden + 1, 3), np.uint8)
    painted = np.full(labels.max() + 1, hidden, np.int32)
    for c in shown:
        colours[c], painted[c] = classes.colours.by_idx(c).as_rgb(), c
    size = image.shape[1::-1]
    if labels.dtype not in (np.uint8, np.uint16):  # OpenCV cannot resize other integers
        labels = labels.astype(np.int32)
    labels = painted[cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)]
    blended = cv2.addWeighted(image, 1 - OPACITY, colours[labels], OPACITY, 0)
    scene: Picture = np.where((labels == hidden)[..., None], image, np.asarray(blended, np.uint8))
    width = 2 * max(1, max(size) // 600) + 1
    edges = cv2.dilate(labels.astype(np.float32), np.ones((width, width))) != labels
    scene[edges] = colours[labels[edges]]
    return scene


def _names(found: sv.Detections, classes: Classes) -> list[str]:
    names = [classes.name(c) for c in _numbers(found)]
    if found.confidence is None:
        return names
    return [f'{name} {score:.2f}' for name, score in zip(names, found.confidence)]


def _numbers(found: sv.Detections) -> list[int]:
    return [] if found.class_id is None else found.class_id.tolist()


def _scaled(found: sv.Detections, factor: float, image: Picture) -> sv.Detections:
    """Scale instances from the original image to the picture."""
    found = found.select(slice(None))  # a copy
    found.xyxy = found.xyxy * factor
    if found.mask is not None and factor != 1:
        size = image.shape[1::-1]
        masks = (np.asarray(mask, np.uint8) for mask in found.mask)
        resized = [cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) for mask in masks]
        found.mask = np.array(resized, bool)
    return found
