"""Every backbone learns, for both tasks, on the embedded digits.

`digits_log.json` holds one run of each leaf on CPU, as `tools/train.py` writes it to
`vis_data/scalars.json`, evaluated every 80 (detection) and 300 iterations (segmentation): the
losses, averages of 20 iterations, and the metric. The tests repeat the first iterations of it.
"""

import json
from pathlib import Path

import pytest
from conftest import ROOT, tool

from backbones import BACKBONES

LOG = json.loads((Path(__file__).parent / 'digits_log.json').read_text())
METRICS = {'mask_rcnn': 'coco/segm_mAP_50', 'upernet': 'mIoU'}
EVERY = {'mask_rcnn': 80, 'upernet': 300}  # iterations
NAMES = [cls.__name__.lower() for cls in BACKBONES]


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


@pytest.mark.parametrize('task', METRICS)
@pytest.mark.parametrize('backbone', NAMES)
def test_the_log_shows_losses_that_fall_and_metrics_that_rise(task: str, backbone: str) -> None:
    run = LOG[f'{task}_{backbone}_nano_digits']
    assert sum(run['loss'][-3:]) < 0.6 * sum(run['loss'][:3])
    assert run['metric'][-1] > 2 * run['metric'][0]
    assert run['every'] == EVERY[task]
    line = (ROOT / f'configs/{task}_{backbone}_nano_digits.py').read_text().splitlines()[0]
    final = run['metric'][-1]
    result = f'{final:.1f} mIoU' if task == 'upernet' else f'mask AP50 {final:.2f}'
    assert line.endswith(f'{EVERY[task] * len(run["metric"])} iterations: {result} (measured here)')


@pytest.mark.slow
@pytest.mark.parametrize('task', METRICS)
@pytest.mark.parametrize('backbone', NAMES)
def test_training_learns_as_logged(task: str, backbone: str, digits: Path, tmp_path: Path) -> None:
    leaf, every = f'{task}_{backbone}_nano_digits', EVERY[task]
    tool(
        *('train', f'configs/{leaf}.py', '--data-root', digits, '--work-dir', tmp_path),
        *('--cfg-options', f'train_cfg.val_interval={every}', f'train_cfg.max_iters={2 * every}'),
    )
    loss, metric = read(tmp_path, METRICS[task])
    assert sum(loss[-3:]) < 0.8 * sum(loss[:3])
    first, second = metric
    assert second > first
    # machines round differently, and early metrics jump: as far as the logged run at half the time
    assert second > LOG[leaf]['metric'][0], f'{metric}, logged: {LOG[leaf]["metric"]}'
