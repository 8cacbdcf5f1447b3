"""Scoring each image, and counting which classes are confused."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import supervision as sv
from mmengine.dist import all_gather_object
from mmengine.structures import BaseDataElement

from backbones.drawing.samples import found_in
from backbones.report.doubts import Doubts, of_boxes, of_pixels

SCORE = 0.3  # minimum score of a prediction; lower than in pictures, as short runs are unsure
IOU = 0.5  # minimum IoU for a found box
SHOWN = 4  # number of best and of worst images kept

Matrix = np.ndarray


@dataclass(order=True)
class Example:
    """A scored image; the score is the F1 of its boxes, or the mean IoU of its label map.

    Args:
        rank: sorts images; for equal scores, the image number decides.
    """

    rank: tuple[float, int]
    sample: BaseDataElement = field(compare=False)

    @property
    def score(self) -> float:
        return abs(self.rank[0])


class Scores:
    """Comparison of predictions with the ground truth, image by image.

    Args:
        classes: names, in the order of the labels.

    Attributes:
        best, worst: samples sorted best or worst first; no image is in both.
        detection: whether boxes are counted, or pixels of label maps.
        matrix: set by `gather`, (rows, columns) counts of the true class (row) and the predicted
            class (column); for boxes, the last row counts false positives and the last column
            misses. None if no image had a ground truth.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self.detection = False
        self.matrix: Matrix | None = None
        self.best: list[Example] = []
        self.worst: list[Example] = []
        self.doubts: dict[str, Doubts] = {}  # by image path
        self.counts: dict[str, tuple[Matrix, Matrix]] = {}  # non-zero entries of an image's matrix

    def add(self, samples: Iterable[BaseDataElement]) -> None:
        """Compare images; those without a file, ground truth or prediction are skipped."""
        for sample in samples:
            truth, found = found_in(sample, 'gt'), found_in(sample, 'pred')
            if truth is None or found is None or 'img_path' not in sample:
                continue
            if isinstance(truth, sv.Detections) and isinstance(found, sv.Detections):
                self.detection = True
                counted = _counted(found, truth, sample)
                matrix = count_boxes(truth, counted, self.classes)
                doubts = of_boxes(truth, found, counted)
            else:
                assert isinstance(truth, np.ndarray) and isinstance(found, np.ndarray)
                matrix = count_pixels(truth, found, len(self.classes))
                doubts = of_pixels(truth, sample, len(self.classes))
            self.doubts[sample.img_path] = doubts
            where = np.flatnonzero(matrix)
            self.counts[sample.img_path] = where, matrix.ravel()[where]
            score = f1(matrix) if self.detection else mean_iou(matrix)
            if not np.isnan(score):  # NaN: an image with no objects and no predictions
                self._keep(score, _drawn_part(sample.cpu()))

    def _keep(self, score: float, sample: BaseDataElement) -> None:
        for kept, signed in ((self.best, score), (self.worst, -score)):
            heapq.heappush(kept, Example((signed, len(self.counts)), sample))
            if len(kept) > SHOWN:
                heapq.heappop(kept)

    def gather(self) -> None:
        """Merge the results of all processes; call it in each after the last image.

        An image that two processes have seen, because of padding to equal shares, counts once.
        """
        parts: list[Scores] = all_gather_object(self)
        for part in parts:
            self.counts |= part.counts
            self.doubts |= part.doubts
            self.detection |= part.detection
        if self.counts:
            side = len(self.classes) + self.detection
            matrix = np.zeros(side**2, np.int64)
            for where, counts in self.counts.values():
                matrix[where] += counts
            self.matrix = matrix.reshape(side, side)
        self.worst = _first([example for part in parts for example in part.worst], without=())
        self.best = _first([example for part in parts for example in part.best], self.worst)


def _first(examples: Sequence[Example], without: Sequence[Example]) -> list[Example]:
    left_out = {example.sample.img_path for example in without}
    by_path = {example.sample.img_path: example for example in examples}
    kept = [example for path, example in by_path.items() if path not in left_out]
    return heapq.nlargest(SHOWN, kept)


def count_boxes(truth: sv.Detections, found: sv.Detections, classes: Sequence[str]) -> Matrix:
    """Match the boxes of one image. See `Scores.matrix`.

    Returns:
        (classes + 1, classes + 1).
    """
    return sv.ConfusionMatrix.from_detections(
        [found], [truth], list(classes), conf_threshold=0, iou_threshold=IOU
    ).matrix


def count_pixels(truth: np.ndarray, found: np.ndarray, classes: int) -> Matrix:
    """Compare two label maps. See `Scores.matrix`.

    Args:
        truth, found: (H, W) labels; pixels whose true label is not a class are ignored.

    Returns:
        (classes, classes).
    """
    known = (truth >= 0) & (truth < classes)
    pairs = truth[known].astype(np.int64) * classes + found[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def f1(matrix: Matrix) -> float:
    """Return F1 for boxes: 2 correct / (true + found); NaN without boxes."""
    right = np.trace(matrix[:-1, :-1])
    total = matrix[:-1].sum() + matrix[:, :-1].sum()
    return float(2 * right / total) if total else float('nan')


def iou(matrix: Matrix) -> np.ndarray:
    """Return the IoU per class, (classes,), for label maps; NaN if a class never occurs."""
    union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    return np.divide(np.diag(matrix), union, out=np.full(len(matrix), np.nan), where=union > 0)


def mean_iou(matrix: Matrix) -> float:
    """Return the mean of `iou` over the classes that occur; NaN if none does."""
    each = iou(matrix)
    return float('nan') if np.isnan(each).all() else float(np.nanmean(each))


def _counted(found: sv.Detections, truth: sv.Detections, sample: BaseDataElement) -> sv.Detections:
    """Select predictions above `SCORE`, without those on crowds, as COCO does."""
    assert found.confidence is not None
    found = found.select(found.confidence >= SCORE)
    crowds = sample.get('ignored_instances')
    if crowds is None or not len(crowds) or not len(found):
        return found
    boxes = np.asarray(getattr(crowds.bboxes, 'tensor', crowds.bboxes).cpu())
    inside = sv.box_iou_batch(boxes, found.xyxy, sv.OverlapMetric.IOS).max(0) > IOU
    if len(truth):
        inside &= sv.box_iou_batch(truth.xyxy, found.xyxy).max(0) <= IOU
    return found.select(~inside)


def _drawn_part(sample: BaseDataElement) -> BaseDataElement:
    """Drop predictions that no picture shows: a hundred masks take much memory."""
    found = sample.get('pred_instances')
    if found is not None:
        sample.pred_instances = found[found.scores >= SCORE]
    return sample
