"""Load samples, seeded by their position in the run, with errors that name the faulty file."""

import os
import random
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from backbones.errors import UnreadableError
from backbones.pixels import is_special, read_pixels

IN_A_ROW = 100  # after so many unreadable files, the disk is to blame
SKIPPING = ', or continue without such files: --cfg-options skip_unreadable=True'


class SeededIndex(int):
    """A sample's index whose `key` seeds the random numbers drawn for the sample."""

    key: tuple[int, ...]

    def __new__(cls, index: int, key: tuple[int, ...] = ()) -> 'SeededIndex':
        made = super().__new__(cls, index)
        made.key = key
        return made


class Samples:
    """A dataset's `__getitems__`, which PyTorch's data loaders call for each batch.

    Args:
        dataset: the dataset.
        skipped: file that records the unreadable files, each of which is replaced by the next
            readable sample; None raises an error at the first.
        judges: a metric needs all samples, so none can be skipped.

    Raises:
        UnreadableError: a file cannot be read, or too many in a row.
    """

    def __init__(
        self, dataset: Dataset, skipped: Path | None = None, *, judges: bool = False
    ) -> None:
        self.dataset = dataset
        self.skipped = skipped
        self.judges = judges

    def __call__(self, indices: list[int]) -> list:
        return [self._load(index) for index in indices]

    def _load(self, index: int) -> object:
        if isinstance(index, SeededIndex):
            seed_all(*index.key)
            index = int(index)
        path: str | None = None
        for place in range(index, index + min(IN_A_ROW, len(self.dataset))):
            try:
                return self.dataset[place % len(self.dataset)]
            except Exception as error:
                path = unreadable_file(self.dataset, place % len(self.dataset))
                if path is None:
                    raise
                if self.skipped is None:
                    said = (
                        f'{path} ({os.path.getsize(path)} bytes) cannot be read: replace it'
                        if os.path.isfile(path)
                        else f'{path} does not exist: put it back'
                    )
                    raise UnreadableError(said if self.judges else said + SKIPPING) from error
                with self.skipped.open('a') as file:
                    file.write(f'{path}\n')  # short enough to be atomic, whichever worker writes
        raise UnreadableError(
            f'{path} is the last of {min(IN_A_ROW, len(self.dataset))} files in a row that cannot '
            'be read: check that their disk is there'
        )


def unreadable_file(dataset: Dataset, index: int) -> str | None:
    """Return the file that kept a sample from loading, if the file is to blame."""
    try:
        facts = dataset.get_data_info(index)
    except Exception:  # another kind of dataset: leave it to its own error
        return None
    for path in (facts.get('img_path'), facts.get('seg_map_path')):
        if path and not _is_image(Path(path)):
            return str(path)
    return None


def seed_all(*key: int) -> None:
    """Seed Python, NumPy and PyTorch, including GPUs, for one position in the run."""
    first, second, third = np.random.SeedSequence(key).generate_state(3).tolist()
    random.seed(first)
    np.random.seed(second)
    torch.default_generator.manual_seed(third)
    if torch.cuda.is_initialized():  # never in a worker, where torch.manual_seed would take 0.2 ms
        torch.cuda.manual_seed_all(third)


def _is_image(path: Path) -> bool:
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        if content.size and cv2.imdecode(content, cv2.IMREAD_UNCHANGED) is not None:
            return True
        return is_special(path) and read_pixels(path).size > 0  # a format unknown to OpenCV
    except (OSError, cv2.error, UnreadableError):
        return False
