"""What benchmarks/own_data.py reads from a training run, and how it summarises seeds."""

import importlib.util
import json
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.fixture(scope='module')
def benchmark():
    """The program; the tests have a helper of the same name."""
    spec = importlib.util.spec_from_file_location('benchmark', ROOT / 'benchmarks/own_data.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_best_and_last_validation_and_their_tests_are_read(benchmark, tmp_path: Path) -> None:
    log = tmp_path / 'time/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    lines = [dict(loss=1), dict(mIoU=40.0), dict(mIoU=50.0), dict(loss=1), dict(mIoU=45.0)]
    log.write_text('\n'.join(map(json.dumps, lines)))
    (tmp_path / 'cpu_seconds').write_text('500')
    (tmp_path / 'test_last').mkdir()
    metrics = dict(metrics=dict(mIoU=42.0, aAcc=90.0), class_iou=dict(pole=7.0))
    (tmp_path / 'test_last/metrics.json').write_text(json.dumps(metrics))
    assert benchmark.measured(tmp_path) == {
        'CPU s': 500, 'best mIoU': 50.0, 'last mIoU': 45.0, 'test last mIoU': 42.0,
        'test last IoU pole': 7.0,
    }  # fmt: skip


def test_seeds_are_summed_up(benchmark) -> None:
    assert benchmark.spread([0.5, 0.6, 0.7]) == '0.600 ± 0.100 (0.500, 0.600, 0.700)'
    assert benchmark.spread([500.0]) == '500.0 ± 0.0 (500.0)'
