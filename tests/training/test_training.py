"""Every backbone learns both tasks on the embedded digits.

`digits_log.json` holds one run of each leaf on CPU, as `tools/train.py` writes it to
`vis_data/scalars.json`, evaluated as often as `EVERY` says: the losses, averages of 20 iterations,
and the metric. The tests repeat the first iterations of it.
"""

import json
from pathlib import Path

import pytest
from conftest import ROOT, tool

LOG = json.loads((Path(__file__).parent / 'digits_log.json').read_text())
METRICS = {
    'mask_rcnn': 'coco/segm_mAP_50',
    'upernet': 'mIoU',
    'mask2former': 'mIoU',
    'dino': 'coco/bbox_mAP_50',
}
EVERY = {'mask_rcnn': 80, 'upernet': 300, 'mask2former': 300, 'dino': 100}  # iterations
WORDS = {'coco/segm_mAP_50': 'mask AP50 {:.2f}', 'coco/bbox_mAP_50': 'box AP50 {:.2f}',
         'mIoU': '{:.1f} mIoU'}  # fmt: skip
LEAVES = sorted(path.stem for path in (ROOT / 'configs').glob('*_nano_digits.py'))


def method(leaf: str) -> str:
    return leaf.rsplit('_', 3)[0]


@pytest.fixture(scope='module')
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('data') / 'digits'
    tool('make_digits', '--out', folder)
    return folder


def read(work_dir: Path, metric: str) -> tuple[list[float], list[float]]:
    """Losses and metrics of a run, in order."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [x['loss'] for x in lines if 'loss' in x], [x[metric] for x in lines if metric in x]


def test_there_is_a_run_of_every_leaf() -> None:
    assert [*LOG] == LEAVES


@pytest.mark.parametrize('leaf', LEAVES)
def test_the_log_shows_losses_that_fall_and_metrics_that_rise(leaf: str) -> None:
    run = LOG[leaf]
    assert run['every'] == EVERY[method(leaf)]
    line = (ROOT / f'configs/{leaf}.py').read_text().splitlines()[0]
    result = WORDS[METRICS[method(leaf)]].format(run['metric'][-1])
    done = run['every'] * len(run['metric'])
    assert line.endswith(f' {done} iterations: {result} (measured here)')
    assert sum(run['loss'][-3:]) < 0.6 * sum(run['loss'][:3])
    assert run['metric'][-1] > 2 * run['metric'][0]


@pytest.mark.slow
@pytest.mark.parametrize('leaf', LEAVES)
def test_training_learns_as_logged(leaf: str, digits: Path, tmp_path: Path) -> None:
    every = EVERY[method(leaf)]
    tool(
        *('train', f'configs/{leaf}.py', '--data-root', digits, '--work-dir', tmp_path),
        *('--cfg-options', f'train_cfg.val_interval={every}', f'train_cfg.max_iters={2 * every}'),
    )
    loss, metric = read(tmp_path, METRICS[method(leaf)])
    assert sum(loss[-3:]) < 0.8 * sum(loss[:3])
    first, second = metric
    assert second > first
    # machines round differently, and early metrics jump, so compare with the log at half the time
    assert second > LOG[leaf]['metric'][0], f'{metric}, logged: {LOG[leaf]["metric"]}'
