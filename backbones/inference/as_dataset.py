"""Writing predictions as a dataset, to be corrected in an annotation tool and trained on.

supervision's writers do not fit: they mark a mask with a hole as `iscrowd`, so nothing trains on
it, split an object with parts into several YOLO objects, and drop the scores.
"""

import itertools
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import supervision as sv
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from backbones import atomic_write
from backbones.data.checks.label_checks import LAST
from backbones.data.files.listing import SUFFIXES
from backbones.data.layouts.yolo_labels import label_places
from backbones.drawing.palette import Classes
from backbones.errors import UserError, listed, shown
from backbones.inference.outlines import joined, outlines
from backbones.inference.prediction import Prediction

DETECTIONS = ('coco', 'yolo')
FORMATS = (*DETECTIONS, 'masks')


def check_format(layout: str, *, segments: bool, classes: int, images: Iterable[Path]) -> None:
    """Refuse a dataset that could not hold the predictions.

    Args:
        layout: one of `FORMATS`.
        segments: whether the model predicts label maps, not instances.
        classes: number of classes.
        images: the files to predict on.

    Raises:
        UserError: it could not; the message lists all reasons.
    """
    faults = []
    allowed = FORMATS[2:] if segments else DETECTIONS
    if layout not in allowed:
        what = 'label maps' if segments else 'instances'
        faults.append(f'the model predicts {what}; allowed: {", ".join(allowed)}')
    if segments and classes > LAST + 1:
        faults.append(f'label maps hold {LAST + 1} classes, and the model has {classes}')
    other = [path.name for path in images if path.suffix.lower() not in SUFFIXES]
    if other:
        faults.append(
            f'{listed(other)}: a dataset takes images named {", ".join(SUFFIXES)}; rename them'
        )
    if faults:
        raise UserError(f'--as-labels {layout}: {"; ".join(faults)}')


class DatasetWriter:
    """A writer of folders that tools/check_data.py and annotation tools read.

    Images are copied to `images` under their names; if two of them differ only in their suffix, it
    becomes part of the name for YOLO and label maps. There is one split, without a subfolder,
    because Label Studio does not look below `images`.

    Args:
        root: the folder.
        layout: 'coco': `annotations/instances_train.json`, with a `score` in each annotation.
            'yolo': `data.yaml`, `classes.txt`, `labels` and `scores`, where a file of the same name
            has the score of each line: Ultralytics and CVAT refuse a sixth column.
            'masks': `classes.txt` and `masks`, indexed PNGs with the classes' colours.
        classes: the class names.
    """

    def __init__(self, root: Path, layout: str, classes: Classes) -> None:
        self.root, self.layout, self.classes = root, layout, classes

    def add(self, prediction: Prediction, name: str, file_name: str) -> None:
        """Copy an image, and write its own files.

        Args:
            name: unique among the images, without a suffix.
            file_name: the name with the suffix; see `find_images`.
        """
        named = file_name if self.layout == 'coco' else f'{name}{prediction.path.suffix}'
        image = self._place('images', named)
        shutil.copyfile(prediction.path, image)
        found = prediction.found
        if not isinstance(found, sv.Detections):
            mask = Image.fromarray(found.astype(np.uint8), 'P')
            mask.putpalette([v for c in self.classes.colours.colors for v in c.as_rgb()])
            mask.save(self._place('masks', f'{name}.png'))
        elif self.layout == 'yolo':
            lines = [_yolo(found, i, prediction.image.shape) for i in range(len(found))]
            kept = [(line, i) for i, line in enumerate(lines) if line]
            file, _ = label_places(image, self.root)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(''.join(f'{line}\n' for line, _ in kept))
            assert found.confidence is not None
            scores = ''.join(f'{found.confidence[i]:.5f}\n' for _, i in kept)
            self._place('scores', f'{name}.txt').write_text(scores)

    def finish(self, entries: Iterable[dict]) -> None:
        """Write the files that describe all images.

        Args:
            entries: the entries of `predictions.jsonl`, one for each image.
        """
        names = self.classes.names
        if self.layout == 'coco':
            self._write('annotations/instances_train.json', json.dumps(_coco(entries, names)))
            return
        self._write('classes.txt', ''.join(f'{shown(name)}\n' for name in names))
        if self.layout == 'yolo':
            settings = dict(train='images', names=dict(enumerate(names)))
            text = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False)
            self._write('data.yaml', text)

    def _place(self, folder: str, name: str) -> Path:
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        atomic_write.write(self.root / name, text.encode())


def _yolo(found: sv.Detections, i: int, shape: tuple) -> str:
    """Return YOLO's line for an instance; '' if it has no pixel."""
    assert found.class_id is not None
    if found.mask is not None:
        polygons = outlines(np.asarray(found.mask[i]))
        points = joined(polygons) if polygons else None
    else:
        start, end = found.xyxy[i].reshape(2, 2)
        points = None if (end - start).min() < 1 else np.array([(start + end) / 2, end - start])
    if points is None:
        return ''
    fractions = (points / shape[1::-1]).ravel()
    return ' '.join([str(found.class_id[i]), *(f'{value:.6f}' for value in fractions)])


def _coco(entries: Iterable[dict], names: list[str]) -> dict:
    images, annotations = [], []
    numbers = itertools.count(1)
    for entry in entries:
        images.append(entry['image'])
        for one in entry['instances']:
            shape = _shape_of(one)
            if shape:
                annotations.append(dict(one, **shape, id=next(numbers), iscrowd=0))
    categories = [dict(id=i, name=name) for i, name in enumerate(names, 1)]
    return dict(images=images, annotations=annotations, categories=categories)


def _shape_of(one: dict) -> dict:
    """Return an annotation's box, area and mask; nothing if it has no pixel.

    The box is computed from the mask instead of being the model's.
    """
    code = one.get('segmentation')
    if code is None:
        width, height = one['bbox'][2:]
        return dict(area=round(width * height, 2)) if min(width, height) >= 1 else {}
    polygons = [polygon.ravel().tolist() for polygon in outlines(coco_mask.decode(code))]
    box, area = coco_mask.toBbox(code).tolist(), int(coco_mask.area(code))
    return dict(bbox=box, area=area, segmentation=polygons) if polygons else {}
