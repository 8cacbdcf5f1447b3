"""What `Predictor` needs of a model, whichever library runs it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from backbones.drawing.captions import Picture
from backbones.drawing.paint import Found
from backbones.file_digest import sha256
from backbones.inference.tiles import Scores


class Model(Protocol):
    """A detector or segmentor with its preparation of images."""

    meta: Mapping  # the names, `classes`, and perhaps their `palette`
    channels: int | None  # of images that are read with all of theirs; None for RGB
    values: str | None  # the type of theirs, such as 'uint16'; None for every type
    segments: bool  # whether it finds label maps, not instances
    panoptic: bool  # whether the instances are segments, which cover the image
    bytes_per_pixel: float  # of an image, for what is found in it
    on_cpu: bool  # whether that is in host memory

    def prepare(self, image: Picture) -> dict:
        """Return an image as the model takes it, with its pixels, `inputs`, (3, h, w)."""

    def predict(self, prepared: Sequence[dict], score: float) -> list[tuple[Found, float]]:
        """Find instances or label maps in images that are equally large when prepared.

        Args:
            prepared: of `prepare`.
            score: minimum score of an instance.

        Returns:
            For each image what was found, in its own pixels, and the highest score of an instance,
            also if it is below `score`; 0 if there is none.
        """

    def scores(self, prepared: Sequence[dict]) -> Iterable[Scores]:
        """Return a segmentor's scores (C, h, w) of each image, in its own pixels."""

    def decide(self, scores: Scores) -> Any:
        """Return the labels (h, w) of scores, in host memory."""

    def digest(self) -> str:
        """Return a digest of all that decides on the results: the weights and the settings."""


def digest_of(files: Iterable[Path], settings: str = '') -> str:
    """Return a short digest of files and of a text."""
    found = hashlib.sha256(settings.encode())
    for file in files:
        found.update(sha256(file).encode())
    return found.hexdigest()[:16]
