#!/usr/bin/env python
"""Train the nano architectures on the embedded digits with three seeds, about three CPU hours.

Writes the losses and metrics to tests/training/digits_log.json, and the mean and standard deviation
of the last metrics into the first lines of the configs. Configs that are not named keep theirs, and
seeds that are in DIR are not trained again.
"""

import argparse
import json
import re
from pathlib import Path
from statistics import mean, stdev

from seeds import call, scalars

ROOT = Path(__file__).parents[1]
LOG = ROOT / 'tests/training/digits_log.json'
LEAVES = sorted(path.stem for path in (ROOT / 'configs').glob('*_nano_digits.py'))
SEEDS = (0, 1, 2)
# iterations between two validations, metric, and how the result is written
METHODS = {
    'dino': (100, 'coco/bbox_mAP_50', 'box AP50 {:.2f} ± {:.2f}'),
    'mask2former': (300, 'mIoU', '{:.1f} ± {:.1f} mIoU'),
    'mask_rcnn': (80, 'coco/segm_mAP_50', 'mask AP50 {:.2f} ± {:.2f}'),
    'upernet': (300, 'mIoU', '{:.1f} ± {:.1f} mIoU'),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='of all runs')
    parser.add_argument(
        'leaves', nargs='*', metavar='CONFIG',
        help='names of the configs to train, such as upernet_volo_nano_digits; default: all',
    )  # fmt: skip
    args = parser.parse_args()
    leaves = args.leaves or LEAVES
    if unknown := {*leaves} - {*LEAVES}:
        parser.error(f'CONFIG is {", ".join(unknown)}; allowed: {", ".join(LEAVES)}')
    data = args.out / 'data'
    if not data.is_dir():
        call('make_digits.py', '--out', data)
    log = json.loads(LOG.read_text())
    log |= {leaf: [trained(leaf, seed, data, args.out) for seed in SEEDS] for leaf in leaves}
    kept = [(leaf, log[leaf]) for leaf in LEAVES if leaf in log]
    rows = (f' "{leaf}": [\n  ' + ',\n  '.join(map(json.dumps, runs)) for leaf, runs in kept)
    LOG.write_text('{\n' + '],\n'.join(rows) + ']\n}\n')
    for leaf in leaves:
        config = ROOT / f'configs/{leaf}.py'
        measured = rf'\g<1>{result(leaf, log[leaf])}\2'
        text = re.sub(r'(iterations: ).*( \(ours\))', measured, config.read_text())
        config.write_text(text)


def method(leaf: str) -> tuple[int, str, str]:
    """Return the row of `METHODS` for a config."""
    return METHODS[leaf.rsplit('_', 3)[0]]


def result(leaf: str, runs: list[dict]) -> str:
    """Write the mean and standard deviation of the runs' last metrics."""
    last = [run['metric'][-1] for run in runs]
    return method(leaf)[2].format(mean(last), stdev(last))


def trained(leaf: str, seed: int, data: Path, out: Path) -> dict:
    """Train a config unless that was done before, and return its losses and metrics."""
    every, metric, _ = method(leaf)
    folder = out / leaf / f'seed_{seed}'
    if not (folder / 'last.pth').exists():
        options = [f'randomness.seed={seed}', f'train_cfg.val_interval={every}']
        given = ('--data-root', data, '--work-dir', folder, '--cfg-options', *options)
        call('train.py', ROOT / f'configs/{leaf}.py', *given)
    loss, metrics = read(folder, metric)
    return dict(
        seed=seed,
        metric=[round(x, 3 if metrics[-1] < 1 else 2) for x in metrics],
        loss=[round(x, 3) for x in loss],
    )


def read(folder: Path, metric: str) -> tuple[list[float], list[float]]:
    """Return a run's losses, averages of 20 iterations, and the metrics of its validations."""
    lines = scalars(folder)
    return [x['loss'] for x in lines if 'loss' in x], [x[metric] for x in lines if metric in x]


if __name__ == '__main__':
    main()
