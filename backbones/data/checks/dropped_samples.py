"""The images and annotations that MMDetection's datasets drop silently, and why."""

import math

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.numbers import is_box, is_number


def check_left_out(split: Split, part: dict, classes: tuple[str, ...], faults: Faults) -> None:
    """Count what a config's dataset will drop from its file; each dropped image is a fault.

    Args:
        split: receives `left_out`.
        part: the dataset's settings in the config.
        classes: the class names that the model learns; () means all.
    """
    names = {c.get('id'): c.get('name') for c in split.records['categories']}
    known = {i for i, name in names.items() if not classes or name in classes}
    images = split.records['images']
    sides = {image.get('id'): _sides(image) for image in images}
    annotations = split.records['annotations']
    used = {a.get('image_id') for a in annotations if a.get('category_id') in known}
    testing = bool(part.get('test_mode'))
    for image in images:
        why = '' if testing else _image_is_left_out(image, part.get('filter_cfg') or {}, used)
        if why:
            split.left_out['images'][why] += 1
            example = f'{image.get("file_name")}: {why}'
            faults.add('filtered-image', split.source, example, total=len(images))
    for annotation in annotations:
        why = _annotation_is_left_out(annotation, sides, known, testing=testing)
        if why:
            split.left_out['annotations'][why] += 1


def _image_is_left_out(image: dict, rule: dict, used: set) -> str:
    if rule.get('filter_empty_gt') and image.get('id') not in used:
        return 'no annotation (filter_empty_gt)'
    if min(_sides(image)) < rule.get('min_size', 0):
        return f'a side below {rule["min_size"]} pixels (min_size)'
    return ''


def _annotation_is_left_out(annotation: dict, sides: dict, known: set, *, testing: bool) -> str:
    """Return why; a validation metric reads the file itself and skips most of the rules."""
    if annotation.get('image_id') not in sides:
        return 'unknown image'
    if annotation.get('category_id') not in known:
        return 'other class'
    if annotation.get('iscrowd'):
        return 'difficult' if annotation.get('difficult') else 'iscrowd'
    if testing or not is_box(annotation.get('bbox')):
        return ''
    if annotation.get('ignore'):
        return 'ignore'
    x, y, w, h = annotation['bbox']
    width, height = sides[annotation['image_id']]
    area = annotation.get('area')
    if w < 1 or h < 1 or (is_number(area) and area <= 0):
        return 'empty box or area'
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        return 'outside the image'
    return ''


def _sides(image: dict) -> list[float]:
    sides = [image.get(side) for side in ('width', 'height')]
    return [side if is_number(side) else math.inf for side in sides]
