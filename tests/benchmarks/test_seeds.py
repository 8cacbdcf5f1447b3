"""What benchmarks/seeds.py reads from a training run, and how it sums up the seeds."""

import json
from pathlib import Path

from seeds import measured, spread


def test_the_best_and_last_validation_and_their_tests_are_read(tmp_path: Path) -> None:
    log = tmp_path / 'time/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    lines = [dict(loss=1), dict(mIoU=40.0), dict(mIoU=50.0), dict(loss=1), dict(mIoU=45.0)]
    log.write_text('\n'.join(map(json.dumps, lines)))
    (tmp_path / 'cpu_seconds').write_text('500')
    (tmp_path / 'test_last').mkdir()
    metrics = dict(metrics=dict(mIoU=42.0, aAcc=90.0), class_iou=dict(pole=7.0))
    (tmp_path / 'test_last/metrics.json').write_text(json.dumps(metrics))
    assert measured(tmp_path) == {
        'CPU s': 500, 'best mIoU': 50.0, 'last mIoU': 45.0, 'test last mIoU': 42.0,
        'test last IoU pole': 7.0,
    }  # fmt: skip


def test_seeds_are_summed_up() -> None:
    assert spread([0.5, 0.6, 0.7]) == '0.600 ± 0.100 (0.500, 0.600, 0.700)'
    assert spread([500.0]) == '500.0 ± 0.0 (500.0)'
