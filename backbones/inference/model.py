"""What `Predictor` needs from a model, whichever library runs it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from backbones.drawing.captions import Picture
from backbones.drawing.paint import Found
from backbones.file_digest import sha256
from backbones.inference.tiles import Scores


class Model(Protocol):
    """A detector or segmentor with its preprocessing."""

    meta: Mapping  # the class names, `classes`, and perhaps their `palette`
    channels: int | None  # number of channels if images are read with all of them; None for RGB
    values: str | None  # the type of the channels' values, such as 'uint16'; None for any type
    segments: bool  # whether it finds label maps, not instances
    panoptic: bool  # whether the instances are segments, which cover the image
    bytes_per_pixel: float  # memory for results per pixel of an image
    on_cpu: bool  # whether results are in host memory

    def prepare(self, image: Picture) -> dict:
        """Return an image in the model's form, with its pixels as `inputs`, (3, h, w)."""

    def predict(self, prepared: Sequence[dict], score: float) -> list[tuple[Found, float]]:
        """Find instances or label maps in images that have the same size when prepared.

        Args:
            prepared: results of `prepare`.
            score: minimum score of an instance.

        Returns:
            For each image, what was found, in the image's pixels, and the highest score of an
            instance, even if it is below `score`; 0 if there is none.
        """

    def scores(self, prepared: Sequence[dict]) -> Iterable[Scores]:
        """Return a segmentor's scores (C, h, w) for each image, in the image's pixels."""

    def decide(self, scores: Scores) -> Any:
        """Return the labels (h, w) of scores, in host memory."""

    def digest(self) -> str:
        """Return a digest of everything that determines the results: weights and settings."""


def digest_of(files: Iterable[Path], settings: str = '') -> str:
    """Return a short digest of files and of a text."""
    found = hashlib.sha256(settings.encode())
    for file in files:
        found.update(sha256(file).encode())
    return found.hexdigest()[:16]
