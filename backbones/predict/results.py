"""Results in a folder: pictures, COCO's JSON or label maps, and a table."""

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import supervision as sv
from pycocotools import mask as coco_mask

from backbones.commands.tables import table
from backbones.errors import UserError
from backbones.openmmlab.palette import Classes
from backbones.predict.predictor import Prediction

QUALITY = 90  # of JPEG


def new_folder(path: str) -> Path:
    """A folder that results of several calls cannot mix in.

    Raises:
        UserError: there is something in it, or it cannot be made.
    """
    folder = Path(path)
    if folder.is_dir() and (held := sum(1 for _ in folder.iterdir())):
        raise UserError(
            f'--out {path} is not empty ({held} entries), and old results would mix with new ones: '
            'name a new folder, or remove it first'
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a file of that name, or no permission
        raise UserError(f'--out {path} cannot be made: {error.strerror}') from error
    return folder


class Results:
    """Writes predictions of one kind; the JSON files in the end.

    Instances: `pictures/NAME.jpg`, `results.json` in COCO's format of results, and `images.json`,
    which holds what its numbers mean. Label maps: `pictures/NAME.jpg`, `labels/NAME.png`, and
    `classes.txt`, whose first line is the name of label 0.
    """

    def __init__(self, folder: Path, classes: Classes, *, segments: bool) -> None:
        self.folder = folder
        self.classes = classes
        self.segments = segments
        self.notes = Counter[str]()  # see `Prediction`
        self.seconds = 0.0  # that the model took
        self.images: list[dict] = []
        self.instances: list[dict] = []
        self.amounts = Counter[int]()  # of instances or pixels, by class
        self.present = Counter[int]()  # images with them
        self.scores = Counter[int]()  # their sum

    def add(self, prediction: Prediction, name: str, file_name: str) -> None:
        """Write one image's files.

        Args:
            prediction: what was found.
            name: of the files, without a suffix; may have folders.
            file_name: what `images.json` calls the image.
        """
        height, width = prediction.image.shape[:2]
        number = len(self.images) + 1
        self.images.append(dict(id=number, file_name=file_name, width=width, height=height))
        self.notes.update(prediction.notes)
        self.seconds += prediction.seconds
        self._save(f'pictures/{name}.jpg', prediction.picture()[..., ::-1])
        found = prediction.found
        if isinstance(found, sv.Detections):
            new = [_instance(found, i, number) for i in range(len(found))]
            self.instances += new
            for entry in new:
                self.scores[entry['category_id'] - 1] += entry['score']
            amounts = Counter(entry['category_id'] - 1 for entry in new)
        else:
            few = len(self.classes.names) <= 256
            self._save(f'labels/{name}.png', found.astype(np.uint8 if few else np.uint16))
            amounts = Counter(dict(enumerate(np.bincount(found.ravel()).tolist())))
        self.amounts += amounts
        self.present.update((+amounts).keys())

    def finish(self) -> None:
        """Write what describes all images."""
        names = self.classes.names
        if self.segments:
            (self.folder / 'classes.txt').write_text('\n'.join(names) + '\n', encoding='utf-8')
            return
        categories = [dict(id=i, name=name) for i, name in enumerate(names, 1)]
        described = dict(images=self.images, annotations=[], categories=categories)
        for file, content in (('results.json', self.instances), ('images.json', described)):
            (self.folder / file).write_text(json.dumps(content), encoding='utf-8')

    @property
    def files(self) -> list[str]:
        """What lies in the folder."""
        own = ['labels/', 'classes.txt'] if self.segments else ['results.json', 'images.json']
        return ['pictures/', *own]

    def summary(self) -> str:
        """Of each class: how many instances and their mean score, or the share of the pixels."""
        order = [(c, self.classes.name(c), n) for c, n in self.amounts.most_common()]
        if self.segments:
            total = self.amounts.total()
            rows = [[name, self.present[c], f'{n / total:.1%}'] for c, name, n in order]
            return table(['class', 'images', 'share of pixels'], rows)
        rows = [[name, self.present[c], n, f'{self.scores[c] / n:.2f}'] for c, name, n in order]
        return table(['class', 'images', 'found', 'mean score'], rows)

    def _save(self, name: str, pixels: np.ndarray) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if path.suffix == '.jpg' else []
        if not cv2.imwrite(str(path), pixels, options):
            raise UserError(f'{path} could not be written: is the disk full?')


def _instance(found: sv.Detections, i: int, image: int) -> dict:
    """One entry of COCO's results; boxes are x, y, width, height in pixels of the image."""
    assert found.class_id is not None and found.confidence is not None
    x1, y1, x2, y2 = found.xyxy[i].tolist()
    entry = dict(
        image_id=image,
        category_id=int(found.class_id[i]) + 1,
        bbox=[round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
        score=round(float(found.confidence[i]), 5),
    )
    if found.mask is not None:
        code = coco_mask.encode(np.asfortranarray(found.mask[i], np.uint8))
        entry['segmentation'] = dict(size=code['size'], counts=code['counts'].decode())
    return entry
