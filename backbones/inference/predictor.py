"""Predicting on images: read, run the model on the whole or in tiles, keep confident instances."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import supervision as sv

from backbones.drawing.captions import Picture
from backbones.drawing.paint import Found
from backbones.drawing.pictures import SCORE
from backbones.errors import ArgumentError, UserError, listed
from backbones.inference.attempts import attempt, batched
from backbones.inference.exported_model import ExportedModel, is_exported
from backbones.inference.memory import check_memory
from backbones.inference.model import Model
from backbones.inference.prediction import Prediction
from backbones.inference.reading import read_channels, read_image
from backbones.inference.sessions import RUNTIMES, Session
from backbones.inference.tiles import Scores, instances, label_map, shared_rows, stride_of
from backbones.pixels import to_rgb

if TYPE_CHECKING:  # exported files work without OpenMMLab
    from mmengine.config import Config

SMALLEST_SIDE = 32  # pixels; the backbones' minimum
LARGEST_RATIO = 32  # ratio of the sides; test pipelines resize the longer to 2048 or 1333 pixels
SMALLEST_TILE = 64  # pixels


class Predictor:
    """A trained detector or segmentor: a config and a checkpoint, or a file from tools/export.py.

    Args:
        config: path or name of a config, or a Config; or an exported file, `.onnx`, `.xml` or
            `.pt2`, which does not need OpenMMLab, or a `Session` of one.
        checkpoint: path or URL of weights trained with the config; None for an exported file.
        score: minimum score of reported instances, 0.5 by default.
        tile: cut larger images into square tiles with this side, in pixels, and predict on each;
            None predicts on whole images. Tiles overlap by a third. Detections cut
            off by a tile's edge are dropped: the neighbouring tile shows them whole if they are
            narrower than the overlap. Of detections that share more than half of the smaller one,
            the one with the highest score in each class is kept. For label maps, the scores are
            averaged, and the image is not resized as in the config.
        device: 'auto' uses the GPU if there is one.
        backbone: replaces the config's backbone. See `swap_backbone`.
        batch: number of images, or of tiles of one image, per model call, if the pipeline makes
            them equally large; the results stay the same.
        amp: compute in bfloat16 under autocast; on CPUs this pays off if they support it in
            hardware (AMX, AVX-512 BF16). Scores change in the third digit.
        compile: compile the backbone of a checkpoint with Inductor, which needs a C++ compiler on
            CPUs, and half a minute or more for each of the first sizes of images.

    Raises:
        UserError: a value is out of range or cannot be used with an exported file; the config, the
            checkpoint or the file cannot be used.
    """

    def __init__(
        self,
        config: str | Path | Config | Session,
        checkpoint: str | Path | None = None,
        *,
        score: float = SCORE,
        tile: int | None = None,
        device: str = 'auto',
        backbone: str | None = None,
        batch: int = 1,
        amp: bool = False,
        compile: bool = False,
    ) -> None:
        faults = []
        if not (isinstance(score, Real) and 0 <= score <= 1):
            faults.append(f'score is {score!r}; allowed: 0 to 1')
        if tile is not None and not (isinstance(tile, Integral) and tile >= SMALLEST_TILE):
            faults.append(f'tile is {tile!r}; allowed: at least {SMALLEST_TILE} pixels')
        if not (isinstance(batch, Integral) and batch >= 1):
            faults.append(f'batch is {batch!r}; allowed: at least 1')
        if not isinstance(checkpoint, str | os.PathLike | None):
            faults.append(f'checkpoint is a {type(checkpoint).__name__}; allowed: a path or a URL')
        if faults:
            raise UserError('; '.join(faults))
        self.score, self.tile, self.batch = score, tile, batch
        self.surest = 0.0  # highest score so far, including instances below `score`
        self.model: Model
        if is_exported(config):
            given = dict(checkpoint=checkpoint, backbone=backbone, compile=compile or None,
                         device=None if device in ('auto', 'cpu') else device)  # fmt: skip
            if wrong := [f'{name} {value}' for name, value in given.items() if value is not None]:
                raise UserError(
                    f'{config} is an exported file, which holds its weights and is run on the CPU: '
                    f'leave out {listed(wrong)}'
                )
            self.model = ExportedModel(config, tile=tile, batch=batch, amp=amp)
        else:
            # imported late, because exported files work without these
            from backbones.inference.model_in_pytorch import ModelInPyTorch

            if checkpoint is None:
                raise UserError(
                    f'{config}: give the checkpoint that was trained with this config, or a file '
                    f'of tools/export.py ({", ".join(RUNTIMES)}) instead of the config'
                )
            self.model = ModelInPyTorch(config, str(checkpoint), backbone=backbone, device=device,
                                        tile=tile, amp=amp, compiled=compile)  # fmt: skip
        if tile and self.model.panoptic:
            raise UserError(
                f'{config} is a panoptic model, which needs whole images: leave out the tile'
            )

    @property
    def meta(self) -> Mapping:
        """The class names, `classes`, and perhaps their `palette`."""
        return self.model.meta

    @property
    def segments(self) -> bool:
        """Whether it finds label maps, not instances."""
        return self.model.segments

    @property
    def channels(self) -> int | None:
        """Number of channels of the images, if the model reads all; None for RGB."""
        return self.model.channels

    def __call__(self, paths: str | Path | Iterable[str | Path]) -> Iterator[Prediction]:
        """Predict on an image file, or on several in the given order, `batch` at a time.

        Raises:
            ArgumentError: the arguments are not paths.
            UnreadableError: a file is missing, damaged or not an image.
            TooLargeError: an image or its result does not fit into memory.
        """
        if not isinstance(paths, Iterable):
            paths = [_path(paths)]
        files = [paths] if isinstance(paths, str) else paths
        for some in batched(map(_path, files), self.batch):
            for outcome in self.attempt(some):
                if not isinstance(outcome, Prediction):
                    raise outcome
                yield outcome

    def predict(self, path: str | Path) -> Prediction:
        """Predict on one image file; see `__call__`."""
        return next(self([path]))

    def attempt(self, paths: Sequence[Path]) -> list[Prediction | Exception]:
        """Predict on image files together; an exception replaces the result of a faulty one."""
        read = [attempt(self.read, path) for path in paths]
        images = [one[0] for one in read if not isinstance(one, Exception)]
        start = time.perf_counter()
        together = attempt(self.find_all, images)
        found: list[Found | Exception] = (
            [attempt(self.find, image) for image in images]  # maybe only too large together
            if isinstance(together, Exception)
            else [*together]
        )
        seconds = (time.perf_counter() - start) / max(1, len(images))
        outcomes = iter(found)
        made: list[Prediction | Exception] = []
        for path, one in zip(paths, read):
            if isinstance(one, Exception):
                made.append(one)
                continue
            outcome = next(outcomes)
            if isinstance(outcome, Exception):
                made.append(outcome)
            else:
                image = one[0]
                if self.channels:
                    image = to_rgb(image, self.meta.get('bands', (0, 1, 2)))
                made.append(Prediction(path, image, outcome, self.meta, one[1], seconds))
        return made

    def read(self, path: Path) -> tuple[np.ndarray, list[str]]:
        """Read an image as in training, with notes on what might surprise."""
        if self.channels:
            return read_channels(path, self.channels, self.model.values)
        return read_image(path)

    def find(self, image: Picture) -> Found:
        """Find the instances in an image, or its label map.

        Args:
            image: (H, W, 3) RGB, uint8, of any size; or (H, W, C) if the model reads all channels,
                with numbers of the type that it was trained with.

        Returns:
            What `Prediction` calls `found`.

        Raises:
            ArgumentError: the image is something else.
            TooLargeError: the image or its result does not fit into memory.
        """
        return self.find_all([image])[0]

    def find_all(self, images: Sequence[Picture]) -> list[Found]:
        """Find instances or label maps in several images at once; see `find`."""
        images = [*images]
        for image in images:
            self._check_pixels(image)
        if self.segments and self.tile:
            return [self._label_map(image, self.tile) for image in images]
        whole = [i for i, image in enumerate(images) if not self._is_cut(image)]
        some = [images[i] for i in whole]
        self._check_memory(some, self.model.bytes_per_pixel, 'cut it with --tile N')
        if self.segments:
            maps = zip(some, self._run(some))
            return [np.asarray(found)[: len(image), : image.shape[1]] for image, found in maps]
        found = dict(zip(whole, self._detect(some)))
        tile = self.tile or 0
        return [found[i] if i in found else instances(image, tile, self.batch, detect=self._detect)
                for i, image in enumerate(images)]  # fmt: skip

    def _check_pixels(self, image: object) -> None:
        count, kind = self.channels or 3, self.model.values if self.channels else 'uint8'
        given = f'a {type(image).__name__}'
        if isinstance(image, np.ndarray):
            given = f'{image.dtype} of shape {image.shape}'
            shaped = image.ndim == 3 and image.size and image.shape[2] == count
            if shaped and kind in (None, str(image.dtype)):
                return
        what = f'channels of {kind or "any type"}' if self.channels else 'uint8, RGB'
        raise ArgumentError(
            f'the image is {given}; allowed: a numpy array (height, width, {count}), {what}'
        )

    def _is_cut(self, image: Picture) -> bool:
        return self.tile is not None and max(image.shape[:2]) > self.tile

    def _check_memory(self, images: Sequence[Picture], each: float, remedy: str) -> None:
        if images and self.model.on_cpu:  # a GPU raises its own error
            pixels = sum(image.shape[0] * image.shape[1] for image in images)
            check_memory(pixels, each, remedy=remedy)

    def _label_map(self, image: Picture, tile: int) -> np.ndarray:
        height, width = image.shape[:2]
        stride, each = stride_of(tile), self.model.bytes_per_pixel
        kept = shared_rows(height, tile, stride) * width / (height * width)
        self._check_memory([image], kept * each, 'make the image or tiles smaller')
        return label_map(image, tile, stride, scores=self._scores, decide=self.model.decide)

    def _scores(self, tiles: Iterable[Picture]) -> Iterator[Scores]:
        """Yield a segmentor's scores for all classes, (C, h, w), before any is chosen."""
        for some in batched(tiles, self.batch):
            found = self.model.scores([self._prepare(one) for one in some])
            for one, scores in zip(some, found):
                yield scores[:, : one.shape[0], : one.shape[1]]

    def _detect(self, images: Sequence[Picture]) -> list[sv.Detections]:
        """Find instances, clipped to the borders of their image."""
        all_found = []
        for image, found in zip(images, self._run(images)):
            assert isinstance(found, sv.Detections)
            height, width = image.shape[:2]
            found.xyxy = found.xyxy.clip(0, [width, height, width, height])
            if isinstance(found.mask, np.ndarray):
                found.mask = found.mask[:, :height, :width]
            seen = np.all(found.xyxy[:, 2:] > found.xyxy[:, :2], axis=1)
            all_found.append(found.select(seen))
        return all_found

    def _run(self, images: Sequence[Picture]) -> list[Found]:
        """Run the pipeline and the model; a label map may be larger than its image.

        Only images of the same size after the pipeline share a batch: with different sizes, the
        model would pad the smaller ones, which changes their results.
        """
        prepared = [self._prepare(image) for image in images]
        by_size: dict[tuple, list[int]] = {}
        for i, data in enumerate(prepared):
            by_size.setdefault(tuple(data['inputs'].shape), []).append(i)
        found: dict[int, Found] = {}
        for same in by_size.values():
            for part in batched(same, self.batch):
                found.update(zip(part, self._step([prepared[i] for i in part])))
        return [found[i] for i in range(len(images))]

    def _prepare(self, image: Picture) -> dict:
        return self.model.prepare(_large_enough(image))

    def _step(self, prepared: list[dict]) -> list[Found]:
        made = self.model.predict(prepared, self.score)
        self.surest = max([self.surest, *(best for _, best in made)])
        return [found for found, _ in made]


def _path(given: str | Path) -> Path:
    if not isinstance(given, str | os.PathLike):
        raise ArgumentError(
            f'a {type(given).__name__} is not the path of an image; pass its pixels to find(image)'
        )
    return Path(given)


def _large_enough(image: Picture) -> Picture:
    """Repeat the last row and column of an image until it is large enough for the model."""
    height, width = image.shape[:2]
    least = max(SMALLEST_SIDE, -(-max(height, width) // LARGEST_RATIO))
    below, right = max(0, least - height), max(0, least - width)
    return np.pad(image, ((0, below), (0, right), (0, 0)), 'edge')
