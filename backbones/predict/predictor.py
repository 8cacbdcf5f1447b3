"""Predict on images: read, run the model whole or tile by tile, keep what is certain enough."""

import time
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import supervision as sv
import torch
from mmengine.config import Config

from backbones.commands.config import read_config
from backbones.errors import UserError
from backbones.openmmlab.captions import Picture
from backbones.openmmlab.paint import Found
from backbones.openmmlab.pictures import SCORE, Half, picture, predicted
from backbones.openmmlab.swap import swap_backbone
from backbones.predict.memory import bytes_per_pixel, check_memory
from backbones.predict.model import load_trained, make_pipeline, pick_device
from backbones.predict.reading import read_image

SMALLEST_SIDE = 32  # pixels; what the backbones need
LARGEST_RATIO = 32  # of the sides: a test pipeline makes 2048 or 1333 pixels of the longer one
SMALLEST_TILE = 64  # pixels
OVERLAP = 3  # tiles overlap by a third, as crops do in MMSegmentation's configs
TOUCHES = 4  # pixels; a box that ends so near to the edge of a tile may go on behind it
SAME = 0.5  # of the smaller one of two instances; more in common, and they are one


@dataclass
class Prediction:
    """What was found in one image.

    Args:
        path: the file.
        image: (H, W, 3) RGB; see `read_image`.
        found: instances, supervision's Detections with `xyxy` in pixels, `class_id`, `confidence`
            and perhaps `mask`; or an (H, W) label map.
        meta: `classes`, the names, and perhaps their `palette`.
        notes: what was done to read the image that might surprise.
        seconds: that the model took.
    """

    path: Path
    image: Picture
    found: Found
    meta: Mapping
    notes: list[str]
    seconds: float

    def picture(self) -> Picture:
        """The image with what was found. See `backbones.openmmlab.pictures.draw`."""
        return picture(self.image, [Half('', self.found)], self.meta)


class Predictor:
    """A trained detector or segmentor.

    Args:
        config: path or name of a config, or the config.
        checkpoint: what was trained with it; see `backbones.checkpoints.read`.
        score: instances below it are left out.
        tile: side in pixels of the squares that larger images are cut into, each of which the model
            sees as an image; None shows it every image whole. Tiles overlap by a third. Detections
            that an edge cuts off are left to the neighbour, which shows them whole if they are
            narrower than the overlap. Of detections that have more than half of the smaller one in
            common, the one with the highest score of each class is kept; of label maps the scores
            are averaged, and the image is not resized as the config would.
        device: 'auto' is the GPU if there is one.
        backbone: another than the config's. See `swap_backbone`.
        amp: compute in bfloat16 where autocast does so; on CPUs that pays where they have units for
            it (AMX, AVX-512 BF16), and scores change in the third digit.

    Raises:
        UserError: a value is out of range; or see `load_trained` and `make_pipeline`.
    """

    def __init__(
        self,
        config: str | Config,
        checkpoint: str,
        *,
        score: float = SCORE,
        tile: int | None = None,
        device: str = 'auto',
        backbone: str | None = None,
        amp: bool = False,
    ) -> None:
        faults = []
        if not 0 <= score <= 1:
            faults.append(f'score is {score}; allowed: 0 to 1')
        if tile is not None and tile < SMALLEST_TILE:
            faults.append(f'tile is {tile}; allowed: from {SMALLEST_TILE} pixels')
        if faults:
            raise UserError('; '.join(faults))
        self.score, self.tile, self.amp = score, tile, amp
        self.surest = 0.0  # highest score so far, also of what was left out
        cfg = deepcopy(config) if isinstance(config, Config) else read_config(config)
        cfg = swap_backbone(cfg, backbone) if backbone else cfg
        self.segments = cfg.get('default_scope') == 'mmseg'
        if self.segments and tile:
            slide = dict(mode='slide', crop_size=(tile, tile), stride=(_stride(tile),) * 2)
            cfg.model.test_cfg = slide
        self.model, self.meta = load_trained(cfg, checkpoint, pick_device(device))
        self.pipeline = make_pipeline(cfg, resizing=not (self.segments and tile))
        self.bytes_per_pixel = bytes_per_pixel(cfg, len(self.meta['classes']))

    def __call__(self, paths: Iterable[str | Path]) -> Iterator[Prediction]:
        """Predict on image files, one after the other."""
        return (self.predict(path) for path in paths)

    def predict(self, path: str | Path) -> Prediction:
        """Predict on an image file.

        Raises:
            UnreadableError: see `read_image`.
        """
        image, notes = read_image(Path(path))
        start = time.perf_counter()
        found = self.find(image)
        return Prediction(Path(path), image, found, self.meta, notes, time.perf_counter() - start)

    def find(self, image: Picture) -> Found:
        """Find instances in, or a label map of, an image.

        Args:
            image: (H, W, 3) RGB, of any size.

        Returns:
            See `Prediction`.

        Raises:
            TooLargeError: see `check_memory`.
        """
        height, width = image.shape[:2]
        if self.segments:
            self._check_memory(image, 'make it smaller')
            return np.asarray(self._run(image))[:height, :width]
        if self.tile is None or max(height, width) <= self.tile:
            self._check_memory(image, 'cut it with --tile N')
            return self._detect(image)
        overlap = self.tile - _stride(self.tile)

        def detect(numbers: np.ndarray) -> sv.Detections:
            top, left = divmod(int(numbers[0, 0]), width)
            right, bottom = left + numbers.shape[1], top + numbers.shape[0]
            found = self._detect(image[top:bottom, left:right])
            inner = [left > 0, top > 0, right < width, bottom < height]
            return found.select(~_cut(found.xyxy, numbers.shape, inner, overlap))

        slicer = sv.InferenceSlicer(
            detect,
            slice_wh=self.tile,
            overlap_wh=overlap,
            iou_threshold=SAME,
            overlap_metric=sv.OverlapMetric.IOS,
            compact_masks=True,
        )
        # the slicer does not say where a tile lies, but the numbers of its pixels do
        numbers: Any = np.arange(height * width).reshape(height, width)  # for an image's uint8
        return slicer(numbers)

    def _check_memory(self, image: Picture, remedy: str) -> None:
        if next(self.model.parameters()).is_cpu:  # a GPU says itself that its memory is too small
            pixels = image.shape[0] * image.shape[1]
            check_memory(pixels, self.bytes_per_pixel, remedy=remedy)

    def _detect(self, image: Picture) -> sv.Detections:
        """Find instances; they are cut at the borders of the image."""
        found = self._run(image)
        assert isinstance(found, sv.Detections)
        height, width = image.shape[:2]
        found.xyxy = found.xyxy.clip(0, [width, height, width, height])
        if isinstance(found.mask, np.ndarray):
            found.mask = found.mask[:, :height, :width]
        return found.select(np.all(found.xyxy[:, 2:] > found.xyxy[:, :2], axis=1))

    def _run(self, image: Picture) -> Found:
        """Run pipeline and model; a label map may be larger than the image."""
        data = self.pipeline(dict(img=_large_enough(image)[..., ::-1].copy(), img_id=0))
        batch = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
        device = next(self.model.parameters()).device.type
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=self.amp):
            [sample] = self.model.test_step(batch)
        found = predicted(sample, self.score)
        if isinstance(found, sv.Detections):
            self.surest = max([self.surest, *sample.pred_instances.scores.tolist()])
        return found


def _cut(boxes: np.ndarray, shape: tuple, inner: list[bool], overlap: int) -> np.ndarray:
    """Tell which boxes are parts of instances that another tile shows whole.

    Args:
        boxes: (N, 4), left, top, right, bottom in pixels of the tile.
        shape: height and width of the tile.
        inner: whether the tile's left, top, right and bottom edge lies in the image.
        overlap: of neighbouring tiles, in pixels; narrower instances are whole in one of them.

    Returns:
        (N,) booleans.
    """
    edges = np.array([0, 0, shape[1], shape[0]])
    touches = (np.abs(boxes - edges) <= TOUCHES) & inner
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.any(touches & (np.tile(sides, 2) < overlap - TOUCHES), axis=1)


def _stride(tile: int) -> int:
    return tile - tile // OVERLAP


def _large_enough(image: Picture) -> Picture:
    """Repeat the last row and column of an image until the model takes it."""
    height, width = image.shape[:2]
    least = max(SMALLEST_SIDE, -(-max(height, width) // LARGEST_RATIO))
    below, right = max(0, least - height), max(0, least - width)
    larger = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(larger, np.uint8)
