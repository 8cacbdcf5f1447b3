"""Time a config before its length is chosen."""

import tempfile
from pathlib import Path

from backbones.cli.resolve import TrainOptions, resolve_training
from backbones.data.dataset import Dataset
from backbones.data.schedules import Pace
from backbones.data.write_config import write_config
from backbones.training.pace import measure


def timed(text: str, dataset: Dataset, out: Path) -> Pace:
    """Write a config and measure it, as `tools/train.py` would run it here."""
    write_config(text, dataset, out)
    with tempfile.TemporaryDirectory() as work_dir:
        return measure(resolve_training(TrainOptions(config=str(out), work_dir=work_dir)).cfg)
