"""Timing a config before the length of its training run is chosen."""

import tempfile
from pathlib import Path

from backbones.cli.resolve import TrainOptions, resolve_training
from backbones.data.configs.schedules import Pace
from backbones.training.pace import measure


def timed(text: str, out: Path) -> Pace:
    """Time the unwritten config `out` as `tools/train.py` would run it on this machine."""
    trial = out.with_name(f'.{out.stem}_timed.py')  # beside it: bases are relative
    trial.parent.mkdir(parents=True, exist_ok=True)
    try:
        trial.write_text(text, encoding='utf-8')
        with tempfile.TemporaryDirectory() as work_dir:
            return measure(resolve_training(TrainOptions(config=str(trial), work_dir=work_dir)).cfg)
    finally:
        trial.unlink(missing_ok=True)
