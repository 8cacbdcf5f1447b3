"""Every backbone learns, for both tasks, on the embedded digits.

`digits_log.json` holds three runs of each leaf on CPU, as benchmarks/nano_digits.py wrote it. The
tests repeat the first iterations of the first one.
"""

import json
from pathlib import Path

import pytest
from conftest import ROOT, tool
from nano_digits import LEAVES, LOG, SEEDS, method, read, result

RUNS = json.loads(LOG.read_text())


@pytest.fixture(scope='module')
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('data') / 'digits'
    tool('make_digits', '--out', folder)
    return folder


def test_there_are_three_runs_of_every_leaf() -> None:
    assert [*RUNS] == LEAVES
    for runs in RUNS.values():
        assert [run['seed'] for run in runs] == [*SEEDS]


@pytest.mark.parametrize('leaf', LEAVES)
def test_the_log_shows_losses_that_fall_and_metrics_that_rise(leaf: str) -> None:
    runs, (every, _, _) = RUNS[leaf], method(leaf)
    line = (ROOT / f'configs/{leaf}.py').read_text().splitlines()[0]
    done = every * len(runs[0]['metric'])
    assert line.endswith(f' {done} iterations: {result(leaf, runs)} (ours)')
    for run in runs:
        assert len(run['loss']) == done // 20
        assert sum(run['loss'][-3:]) < 0.6 * sum(run['loss'][:3])
        assert run['metric'][-1] > run['metric'][0]
    first, last = (sum(run['metric'][at] for run in runs) for at in (0, -1))
    assert last > 1.5 * first


@pytest.mark.slow
@pytest.mark.parametrize('leaf', LEAVES)
def test_training_learns_as_logged(leaf: str, digits: Path, tmp_path: Path) -> None:
    every, metric, _ = method(leaf)
    tool(
        *('train', f'configs/{leaf}.py', '--data-root', digits, '--work-dir', tmp_path),
        *('--cfg-options', f'train_cfg.val_interval={every}', f'train_cfg.max_iters={2 * every}'),
    )
    loss, (first, second) = read(tmp_path, metric)
    assert sum(loss[-3:]) < 0.8 * sum(loss[:3])
    assert second > first
    # machines round differently, and early metrics jump: as far as the logged run at half the time
    logged = RUNS[leaf][0]['metric']
    assert second > logged[0], f'{first}, {second}, logged: {logged}'
