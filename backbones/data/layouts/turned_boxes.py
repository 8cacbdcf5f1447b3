"""Boxes with an angle, as CVAT writes rotated ones."""

import math

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.numbers import is_box, is_number
from backbones.data.files.segmentations import has_mask
from backbones.data.layouts.shapes import outline, rectangle, turned, upright

SLIP = 1  # degree; nobody rotates a box by less on purpose


def degrees_of(annotation: dict) -> float:
    """Return the angle by which a box is rotated about its centre, from 0 to 180 degrees.

    0 if it has a mask, which is exact, or if the angle is too small to be intentional.
    """
    attributes = annotation.get('attributes')
    degrees = attributes.get('rotation') if isinstance(attributes, dict) else None
    turn = degrees % 180 if is_number(degrees) and not has_mask(annotation) else 0.0
    return turn if SLIP <= turn <= 180 - SLIP else 0.0


def turn_boxes(split: Split, faults: Faults, *, enclosing: bool) -> None:
    """Replace rotated boxes by the upright boxes around them, or all boxes by their outlines.

    Args:
        enclosing: do the former, and add outlines if other instances of the split have masks;
            otherwise rotated boxes are faults.
    """
    annotations = split.records.get('annotations', [])
    if not any(map(degrees_of, annotations)):
        return
    masks = any(map(has_mask, annotations))
    images = {image.get('id'): image for image in split.records['images']}
    for annotation in annotations:
        degrees = degrees_of(annotation)
        kept = has_mask(annotation) or (enclosing and not degrees)
        if kept or not is_box(annotation.get('bbox')):
            continue
        made = outline(turned(rectangle(*annotation['bbox']), math.radians(degrees)))
        image = images.get(annotation.get('image_id'), {})
        if enclosing:
            bounds = upright(made['bbox'], image)
            made = made | bounds if masks else bounds
        elif degrees:
            where = f'annotation {annotation.get("id")} on {image.get("file_name")} rotated by ' \
                    f'{degrees:g} degrees'  # fmt: skip
            faults.add('rotated-box', split.source, where, total=len(annotations))
        annotation |= made
        annotation.pop('attributes', None)  # the angle is applied
    split.own_file = True
