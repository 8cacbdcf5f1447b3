"""Writing results to a folder: pictures, COCO JSON or label maps, and a summary table."""

import contextlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import supervision as sv
from pycocotools import mask as coco_mask

from backbones import atomic_write
from backbones.drawing.paint import pixels_of
from backbones.drawing.palette import Classes
from backbones.drawing.pictures import save
from backbones.errors import UserError, listed, shown
from backbones.folder_lock import NAME as LOCK
from backbones.folder_lock import owning
from backbones.inference.as_dataset import DatasetWriter
from backbones.inference.prediction import Prediction
from backbones.tables import table

QUALITY = 90  # JPEG quality
LINES = 'predictions.jsonl'
DATASET = 'dataset'


@contextlib.contextmanager
def owned_folder(path: str, *, resume: bool) -> Iterator[Path]:
    """Create and lock a folder, so that results of different calls cannot mix.

    Args:
        path: the folder.
        resume: continue with the results of an interrupted call.

    Raises:
        UserError: the folder is not empty; or see `owning`.
    """
    folder = Path(path)
    with owning(path) as notices:
        held = sum(file.name != LOCK for file in folder.iterdir())
        if held and not resume:
            lines = (folder / LINES).is_file()
            more = 'add --resume to continue an interrupted call, ' if lines else ''
            raise UserError(
                f'--out {path} is not empty ({held} entries), so old results would mix with new '
                f'ones: {more}choose a new folder, or remove this one first'
            )
        print(*notices, sep='\n', end='\n' if notices else '')
        yield folder


class Results:
    """Write predictions as they come, and JSON files made from them at the end.

    `predictions.jsonl` has a line about the call and one for each finished image. Instances:
    `pictures/NAME.jpg`, `results.json` in COCO's results format, and `images.json`, which explains
    its numbers. Label maps: `pictures/NAME.jpg`, `labels/NAME.png`, and `classes.txt`, whose first
    line is the name of label 0.

    Args:
        folder: the folder; files of an interrupted call are kept.
        classes: the class names.
        segments: whether predictions are label maps, not instances.
        about: the call; only an equal call can continue an interrupted one.
        layout: layout of the dataset that is also written, in `dataset/`; see `DatasetWriter`.

    Raises:
        UserError: the folder belongs to another call.
    """

    def __init__(
        self,
        folder: Path,
        classes: Classes,
        *,
        segments: bool,
        about: dict,
        layout: str | None = None,
    ) -> None:
        self.folder = folder
        self.dataset = DatasetWriter(folder / DATASET, layout, classes) if layout else None
        self.lines = folder / LINES
        self.classes = classes
        self.segments = segments
        self.notes = Counter[str]()  # see `Prediction`
        self.seconds = 0.0  # time that the model took in this call
        self.done: dict[str, str] = {}  # image paths by their names in `images.json`
        self.names: dict[str, str] = {}  # the same by the names of their results
        self.amounts = Counter[int]()  # instances or pixels by class
        self.present = Counter[int]()  # images that contain the class
        self.scores = Counter[int]()  # sum of scores by class
        about = json.loads(json.dumps(about))
        entries = _whole_lines(self.lines)
        before = next(entries, None)
        if before is None:
            self._append(about, 'w')
        elif before != about:
            differs = [k for k in {**before, **about} if before.get(k) != about.get(k)]
            told = [f'{k} {before.get(k)} -> {about.get(k)}' for k in differs]
            raise UserError(
                f'{folder} holds results of another call ({listed(told)}): repeat that call with '
                '--resume, or choose a new folder'
            )
        for entry in entries:
            self._count(entry)
        self.resumed = len(self.done)

    def add(self, prediction: Prediction, name: str, file_name: str) -> None:
        """Write one image's files, then the line that marks it as done.

        Args:
            prediction: the result for the image.
            name: name of the files, without a suffix; may contain folders.
            file_name: the image's name in `images.json`.
        """
        height, width = prediction.image.shape[:2]
        number = len(self.done) + 1
        entry: dict = dict(
            image=dict(id=number, file_name=file_name, width=width, height=height),
            notes=prediction.notes,
            path=str(prediction.path),
            name=name,
        )
        self._save(f'pictures/{name}.jpg', prediction.picture()[..., ::-1])
        found = prediction.found
        if isinstance(found, sv.Detections):
            entry['instances'] = [instance(found, i, number) for i in range(len(found))]
        else:
            few = len(self.classes.names) <= 256
            self._save(f'labels/{name}.png', found.astype(np.uint8 if few else np.uint16))
            entry['pixels'] = {str(c): n for c, n in enumerate(pixels_of(found)) if n}
        if self.dataset:
            self.dataset.add(prediction, name, file_name)
        self._append(entry, 'a')
        self.seconds += prediction.seconds
        self._count(entry)

    def has(self, path: Path, name: str, file_name: str) -> bool:
        """Return whether an image is done; see `add`.

        Raises:
            UserError: another image with one of the names is done.
        """
        done = self.done.get(file_name)
        if done is None and name in self.names:
            done, file_name = self.names[name], f'{name}.*'
        if done not in (None, str(path)):
            raise UserError(
                f'{self.lines} has results for {file_name} from {done}, but this call predicts on '
                f'{path}: choose a new folder for it'
            )
        return done is not None

    def finish(self) -> None:
        """Write the files that describe all images."""
        names = self.classes.names
        if self.dataset:
            self.dataset.finish(itertools.islice(_whole_lines(self.lines), 1, None))
        if self.segments:
            lines = [*map(shown, names), '']
            atomic_write.write(self.folder / 'classes.txt', '\n'.join(lines).encode())
            return
        images: list[dict] = []
        instances: list[dict] = []
        for entry in itertools.islice(_whole_lines(self.lines), 1, None):
            images.append(entry['image'])
            instances += entry['instances']
        categories = [dict(id=i, name=name) for i, name in enumerate(names, 1)]
        described = dict(images=images, annotations=[], categories=categories)
        for file, content in (('results.json', instances), ('images.json', described)):
            atomic_write.write(self.folder / file, json.dumps(content).encode())

    def _count(self, entry: dict) -> None:
        self.done[entry['image']['file_name']] = entry['path']
        self.names[entry['name']] = entry['path']
        self.notes.update(entry['notes'])
        amounts = Counter({int(c): n for c, n in entry.get('pixels', {}).items()})
        for one in entry.get('instances', ()):
            amounts[one['category_id'] - 1] += 1
            self.scores[one['category_id'] - 1] += one['score']
        self.amounts += amounts
        self.present.update(amounts.keys())

    def _append(self, entry: dict, mode: str) -> None:
        with atomic_write.plainly(self.lines), self.lines.open(mode, encoding='utf-8') as file:
            file.write(json.dumps(entry) + '\n')

    @property
    def files(self) -> list[str]:
        """List the contents of the folder."""
        own = ['labels/', 'classes.txt'] if self.segments else ['results.json', 'images.json']
        own += [f'{DATASET}/'] if self.dataset else []
        return ['pictures/', *own, LINES]

    def summary(self) -> str:
        """Format per class the number of instances and mean score, or the share of pixels."""
        order = [(c, self.classes.name(c), n) for c, n in self.amounts.most_common()]
        if self.segments:
            total = self.amounts.total()
            rows = [[name, self.present[c], f'{n / total:.1%}'] for c, name, n in order]
            return table(['class', 'images', 'share of pixels'], rows)
        rows = [[name, self.present[c], n, f'{self.scores[c] / n:.2f}'] for c, name, n in order]
        return table(['class', 'images', 'found', 'mean score'], rows)

    def _save(self, name: str, pixels: np.ndarray) -> None:
        jpeg = (cv2.IMWRITE_JPEG_QUALITY, QUALITY) if name.endswith('.jpg') else ()
        save(self.folder / name, pixels, jpeg)


def _whole_lines(path: Path) -> Iterator[dict]:
    """Yield the entries of a JSON Lines file; truncate a line left incomplete by a killed run."""
    if not path.is_file():
        return
    with path.open('r+b') as file:
        for line in iter(file.readline, b''):
            try:
                entry = json.loads(line) if line.endswith(b'\n') else None
            except ValueError:
                entry = None
            if not isinstance(entry, dict):
                file.seek(-len(line), os.SEEK_CUR)
                file.truncate()
                return
            yield entry


def instance(found: sv.Detections, i: int, image: int) -> dict:
    """Return one entry of COCO's results; boxes are x, y, width, height in image pixels."""
    assert found.class_id is not None and found.confidence is not None
    x1, y1, x2, y2 = found.xyxy[i].tolist()
    entry = dict(
        image_id=image,
        category_id=int(found.class_id[i]) + 1,
        bbox=[round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
        score=round(float(found.confidence[i]), 5),
    )
    if found.mask is not None:
        entry['segmentation'] = rle(np.asarray(found.mask[i]))
    return entry


def rle(mask: np.ndarray) -> dict:
    """Return a mask in COCO's run-length encoding."""
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=code['size'], counts=code['counts'].decode())
