"""Train a config once for each seed, and print the mean and spread of its metrics.

The numbers of docs/own_data_measured.md come from here: one thread, CPU seconds of the whole
command tools/train.py with all its processes. Seeds that were trained before are not trained again.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from mmengine.config import Config

TOOLS = Path(__file__).parents[1] / 'tools'
MAIN = {'coco/bbox_mAP': 'AP', 'coco/bbox_mAP_50': 'AP50', 'coco/segm_mAP': 'mask AP',
        'coco/segm_mAP_50': 'mask AP50', 'mIoU': 'mIoU'}  # fmt: skip
TESTED = ('best', 'last')
CHOOSING = ('coco/segm_mAP_50', 'coco/bbox_mAP_50', 'mIoU')  # the first found decides


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', type=Path)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DIR', help='folder for all seeds'
    )
    parser.add_argument('--ema', action='store_true', help='average the weights during training')
    args = parser.parse_args()
    given = ['--ema'] if args.ema else []
    runs = [args.out / f'seed_{seed}' for seed in args.seeds]
    for seed, folder in zip(args.seeds, runs):
        train(args.config, seed, folder, given)
    rows = [measured(folder) for folder in runs]
    for name in rows[0]:
        print(f'{name}: {spread([row[name] for row in rows])}')


def train(config: Path, seed: int, folder: Path, given: list[str]) -> None:
    """Train with one thread, then test best.pth and last.pth if the data have a test split."""
    options = ['--cfg-options', f'randomness.seed={seed}']
    time = folder / 'cpu_seconds'
    if not time.is_file():
        before = cpu_seconds()
        call('train.py', config, '--work-dir', folder, *given, *options)
        time.write_text(f'{cpu_seconds() - before:.0f}')
    cfg = Config.fromfile(config)
    if cfg.test_dataloader.dataset != cfg.val_dataloader.dataset:
        for name in TESTED:
            weights, out = folder / f'{name}.pth', folder / f'test_{name}'
            if not (out / 'metrics.json').is_file():
                call('test.py', config, weights, '--work-dir', out, *options)


def call(tool: str, *arguments: object) -> None:
    command = [sys.executable, str(TOOLS / tool), *map(str, arguments)]
    subprocess.run(command, check=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})


def cpu_seconds() -> float:
    """Return the CPU seconds of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def scalars(folder: Path) -> list[dict]:
    """Return what a run has logged: losses, averages of 20 iterations, and validations."""
    (log,) = folder.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in log.read_text().splitlines()]


def measured(folder: Path) -> dict[str, float]:
    """Return a run's results: its best and last validation, and the tests of their weights."""
    lines = scalars(folder)
    key = next(key for key in CHOOSING if any(key in line for line in lines))
    validations = [line for line in lines if key in line]
    found = {'CPU s': float((folder / 'cpu_seconds').read_text())}
    parts = {'best': max(validations, key=lambda line: line[key]), 'last': validations[-1]}
    classes = {}
    for name in TESTED:
        test = folder / f'test_{name}/metrics.json'
        if test.is_file():
            content = json.loads(test.read_text())
            parts[f'test {name}'] = content['metrics']
            classes |= {f'test {name} IoU {c}': v for c, v in content['class_iou'].items()}
    for part, metrics in parts.items():
        found |= {f'{part} {MAIN[k]}': metrics[k] for k in MAIN if k in metrics}
    return found | classes


def spread(values: list[float]) -> str:
    """Format the mean, the standard deviation and the single values."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    digits = 3 if max(values) <= 1 else 1
    listed = ', '.join(f'{value:.{digits}f}' for value in values)
    return f'{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f} ({listed})'


if __name__ == '__main__':
    main()
