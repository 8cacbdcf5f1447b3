"""Checks of boxes and masks in COCO's form, whatever layout they come from."""

import os
from collections import Counter

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.numbers import LARGEST_ID, is_box, is_id, is_number, rounded
from backbones.data.files.segmentations import SLACK, check_mask, has_mask
from backbones.data.layouts.turned_boxes import degrees_of

TINY = 0.05  # share of a box without a mask, whose area is a placeholder
MOSTLY = 0.5  # a pattern in a larger share of annotations is a mistake of the whole file


class InstanceChecks:
    """All checks of a split's records.

    Args:
        split: with the `facts` of its images, as far as they are known.
        faults: receives what is found.
        masks: also check masks.
    """

    def __init__(self, split: Split, faults: Faults, *, masks: bool = True) -> None:
        self.split, self.faults, self.masks = split, faults, masks
        self.images = split.records.get('images', [])
        self.annotations = split.records.get('annotations', [])
        self.categories = split.records.get('categories', [])
        self.names = {c.get('id'): str(c.get('name', '')) for c in self.categories}
        self.image_of = {image.get('id'): image for image in self.images}
        self.sized = {i: image for i, image in self.image_of.items() if _is_size(image)}
        crowds = sum(bool(a.get('iscrowd')) for a in self.annotations)
        self.mostly_crowd = crowds > MOSTLY * len(self.annotations)
        self.all_difficult = all(a.get('difficult') for a in self.annotations)

    def run(self) -> None:
        """Check categories, images and annotations."""
        self._check_categories()
        self._check_images()
        self._check_annotations()

    def add(self, kind: str, example: object, total: int = 0) -> None:
        self.faults.add(kind, self.split.source, example, total=total)

    def _check_ids(self, entries: list[dict], what: str) -> None:
        count = Counter(entry.get('id') for entry in entries)
        for entry in entries:
            number = entry.get('id')
            if 'id' not in entry:
                self.add('missing-field', f'{what} without id: {_short(entry)}')
            elif not is_id(number):
                self.add('wrong-type', f'{what} id {number!r}')
            elif abs(number) >= LARGEST_ID:
                self.add('wrong-type', f'{what} id {number}, which is not below 2 ** 53')
        for number, times in count.items():
            if times > 1 and number is not None:
                self.add('duplicate-id', f'{what} id {number}, {times} times')

    def _check_categories(self) -> None:
        self._check_ids(self.categories, 'category')
        count = Counter(category.get('name') for category in self.categories)
        for name, times in count.items():
            if not isinstance(name, str) or not name.strip():
                self.add('unnamed-class', f'category named {name!r}')
            elif times > 1:
                self.add('duplicate-class', f'{name!r}, {times} times')

    def _check_images(self) -> None:
        self._check_ids(self.images, 'image')
        files = Counter(os.path.normpath(str(image.get('file_name'))) for image in self.images)
        for image in self.images:
            for field in ('file_name', 'width', 'height'):
                value, where = image.get(field), f'image {image.get("id")}'
                if value in (None, '') and (field == 'file_name' or self._needs_size()):
                    self.add('missing-field', f'{where} without {field}')
                elif field != 'file_name' and value is not None and not is_number(value):
                    self.add('wrong-type', f'{where}: {field} {value!r}')
            name = str(image.get('file_name', ''))
            if '://' in name:
                self.add('url-file-name', name[:80], len(self.images))
            if not isinstance(image.get('file_name', ''), str):
                self.add('wrong-type', f'image {image.get("id")}: file_name {name}')
            if name.startswith('/') or '..' in name.split('/'):
                self.add('absolute-path', name)
        for name, times in files.items():
            if times > 1 and name != 'None':
                self.add('duplicate-file-name', f'{name}, {times} times')

    def _needs_size(self) -> bool:
        return not self.split.own_file

    def _check_annotations(self) -> None:
        if not self.annotations:
            meant = self.split.name == 'test' and self.split.by_name  # configs from folders omit it
            kind = 'test-unannotated' if meant else 'no-annotations'
            self.add(kind, f'{len(self.images)} images')
            return
        self._check_ids(self.annotations, 'annotation')
        corners = self._are_corners()
        masks = self.masks and any(map(has_mask, self.annotations))
        total = len(self.annotations)
        seen: set[tuple] = set()
        used = set()
        for annotation in self.annotations:
            where = self._where(annotation)
            self._check_fields(annotation, where)
            image = self._owner(annotation, where)
            if image is None:
                continue
            used.add(annotation['image_id'])
            sound = self._check_box(annotation, image, where, corners=corners)
            if masks and not has_mask(annotation):
                self.add('mask-missing', where, total)
            elif masks:
                self._check_mask(annotation, image, where, compare=sound)
            key = (annotation['image_id'], annotation.get('category_id'), str(annotation['bbox']))
            if key in seen:
                self.add('duplicate-annotation', where, total)
            seen.add(key)
        for image in self.images:
            if image.get('id') not in used:
                self.add('without-objects', image.get('file_name'), len(self.images))

    def _check_fields(self, annotation: dict, where: str) -> None:
        """Check the fields that decide whether an annotation is learnt and counted."""
        total = len(self.annotations)
        if is_id(annotation.get('id')) and annotation['id'] < 1 and self.split.name != 'train':
            self.add('annotation-id-zero', where)
        for field in ('iscrowd', 'area'):
            if field in annotation and annotation[field] is None:
                kind = 'null-field' if self.split.by_name else 'missing-field'
                self.add(kind, f'{where}: {field} is null', total)
        if annotation.get('iscrowd') not in (0, 1, None):
            self.add('wrong-type', f'{where}: iscrowd {annotation["iscrowd"]!r}')
        if annotation.get('difficult') and not self.all_difficult:
            self.add('difficult', where, total)
        elif annotation.get('iscrowd'):
            self.add('mostly-crowd' if self.mostly_crowd else 'crowd', where, total)
        if annotation.get('ignore'):
            self.add('marked-ignore', where, total)
        if annotation.get('keypoints'):
            self.add('keypoints-dropped', where, total)
        if degrees := degrees_of(annotation):
            self.add('rotated-box', f'{where} rotated by {degrees:g} degrees', total)

    def _where(self, annotation: dict) -> str:
        number = annotation.get('image_id')
        image = self.image_of.get(number, {})
        name = image.get('file_name', f'image id {number!r}')
        size = f' of {image["width"]}x{image["height"]}' if number in self.sized else ''
        return f'annotation {annotation.get("id")} on {name}{size}'

    def _owner(self, annotation: dict, where: str) -> dict | None:
        """Return an annotation's image; None, with faults added, if nothing more can be checked."""
        lacks = [f for f in ('image_id', 'category_id', 'bbox', 'area') if f not in annotation]
        for field in lacks:
            filled = field == 'area' and self.split.by_name
            kind = 'null-field' if filled else 'missing-field'
            self.add(kind, f'{where} without {field}', len(self.annotations))
        if 'image_id' in annotation and annotation['image_id'] not in self.image_of:
            self.add('unknown-image', where)
        if 'category_id' in annotation and annotation['category_id'] not in self.names:
            self.add('unknown-class', f'{where}: category_id {annotation["category_id"]!r}')
        if 'bbox' not in lacks and not is_box(annotation['bbox']):
            self.add('broken-box', f'{where}: {annotation["bbox"]}')
            return None
        if {'image_id', 'bbox'} & set(lacks):
            return None
        return self.sized.get(annotation['image_id'])

    def _are_corners(self) -> bool:
        """Return whether boxes are [x1, y1, x2, y2]: all could be, and many fit only that way."""
        beyond = checked = 0
        for annotation in self.annotations:
            image = self.sized.get(annotation.get('image_id'))
            box = annotation.get('bbox')
            if image is None or not is_box(box):
                continue
            x, y, w, h = box
            if w <= x or h <= y or w > image['width'] + SLACK or h > image['height'] + SLACK:
                return False
            checked += 1
            area = annotation.get('area')
            beyond += x + w > image['width'] + SLACK or y + h > image['height'] + SLACK
            # the area is that of corners, and not that of sides
            said = area if is_number(area) else w * h
            if abs(said - (w - x) * (h - y)) < 0.02 * w * h < 0.2 * abs(said - w * h):
                if self._bounds_mask(annotation, image):
                    return False
                beyond += 1
        return checked > 0 and beyond > 0.2 * checked

    def _bounds_mask(self, annotation: dict, image: dict) -> bool:
        """Return whether a box bounds the mask of its annotation, if there is one."""
        if not has_mask(annotation):
            return False
        _, bounds = check_mask(annotation['segmentation'], image['width'], image['height'])
        return bounds is not None and _overlap(bounds, annotation['bbox']) > 0.9

    def _check_box(self, annotation: dict, image: dict, where: str, *, corners: bool) -> bool:
        """Return whether a box is correct, so that its mask can be compared with it."""
        kind = self._box_fault(annotation, image, corners=corners)
        if kind:
            what = f'{where}: {rounded(annotation["bbox"])}'
            area = f', area {annotation["area"]}' if kind.startswith('area') else ''
            self.add(kind, what + area, len(self.annotations))
        return not kind

    def _box_fault(self, annotation: dict, image: dict, *, corners: bool) -> str:
        x, y, w, h = annotation['bbox']
        width, height = image['width'], image['height']
        area: object = annotation.get('area')
        if area is None:
            area = w * h
        if min(x, y) >= 0 and max(x, y, w, h) <= 1 and min(w, h) > 0 and max(width, height) > 4:
            return 'box-fractions'
        if corners:
            return 'box-corners'
        if min(w, h) < 1:
            return 'box-empty'
        if x >= width or y >= height or x + w <= 0 or y + h <= 0:
            return 'box-outside'
        if min(x, y) < -SLACK or x + w > width + SLACK or y + h > height + SLACK:
            return 'box-beyond'
        if not is_number(area) or area <= 0:
            return 'area-empty'
        if area > (w + 1) * (h + 1) * 1.01:
            return 'area-too-large'
        return 'area-too-small' if area < TINY * w * h and not has_mask(annotation) else ''

    def _check_mask(self, annotation: dict, image: dict, where: str, *, compare: bool) -> None:
        found, bounds = check_mask(annotation['segmentation'], image['width'], image['height'])
        for kind, said in found:
            self.add(kind, f'{where}: {said}')
        compare = compare and not annotation.get('iscrowd')
        if bounds and compare and _overlap(bounds, annotation['bbox']) < 0.5:
            box = rounded(annotation['bbox'])
            self.add('box-beside-mask', f'{where}: box {box}, mask within {rounded(bounds)}')


def _is_size(image: dict) -> bool:
    return all(is_number(image.get(side)) and image[side] > 0 for side in ('width', 'height'))


def _overlap(a: list[float], b: list[float]) -> float:
    """Compute the intersection over union of two boxes [x, y, width, height]."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / max(a[2] * a[3] + b[2] * b[3] - both, 1e-9)


def _short(entry: dict) -> str:
    return str(entry)[:60]
