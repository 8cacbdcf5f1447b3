#!/usr/bin/env python
"""Make the embedded dataset, train a small detector and segmentor on it, evaluate and draw."""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TOOLS = Path(__file__).parent
CONFIGS = TOOLS.parent / 'configs'  # in a checkout and in an installed package
TASKS = {'detection': 'mask_rcnn', 'segmentation': 'upernet'}
DATA = Path('data/digits')
PROGRESS = re.compile(r'Iter\(train\) *\[ *(\d+)/(\d+)\].*?eta: ([\d:]+).*?loss: ([\d.]+)')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--backbone',
        default='dilateformer',
        help='a backbone with nano configs, such as cswin; default: dilateformer',
    )
    args = parser.parse_args()
    leaves = {task: CONFIGS / f'{m}_{args.backbone}_nano_digits.py' for task, m in TASKS.items()}
    if not all(leaf.is_file() for leaf in leaves.values()):
        there = sorted(p.stem.split('_')[2] for p in CONFIGS.glob('mask_rcnn_*_nano_digits.py'))
        parser.error(f'no nano configs for {args.backbone!r}; allowed: {", ".join(there)}')
    suffix = '' if args.backbone == 'dilateformer' else f'_{args.backbone}'
    configs = {task: os.path.relpath(leaf) for task, leaf in leaves.items()}
    folder = Path(f'work_dirs/quickstart{suffix}')
    folder.mkdir(parents=True, exist_ok=True)
    if not (DATA / 'annotations').is_dir():
        with minutes_of('data', folder):
            run('embedded dataset', ['make_digits.py', '--out', DATA], folder / 'data.log')
    for task, config in configs.items():
        if not (folder / task / 'metrics.json').is_file():
            with minutes_of(task, folder):
                train_and_test(task, config, folder / task)
    finish(folder, configs)


def train_and_test(task: str, config: str, folder: Path) -> None:
    """Train and test; continue where an interrupted call stopped."""
    folder.mkdir(exist_ok=True)
    trained = folder / 'trained'
    if not trained.exists():
        command = ['train.py', config, '--work-dir', folder, '--resume']
        run(f'{task}: training {config}', command, folder / 'train.log')
        trained.touch()
    command = ['test.py', config, folder / 'last.pth', '--work-dir', folder]
    command += ['--show-dir', folder / 'pictures']
    run(f'{task}: testing', command, folder / 'test.log')


@contextlib.contextmanager
def minutes_of(step: str, folder: Path) -> Iterator[None]:
    """Add the block's wall-clock time to the step's total; interrupted steps count."""
    start = time.time()
    try:
        yield
    finally:
        spent = read_minutes(folder)
        spent[step] = round(spent.get(step, 0) + (time.time() - start) / 60, 2)
        partial = folder / 'minutes.partial'  # if killed, either the old or the new file remains
        partial.write_text(json.dumps(spent))
        partial.replace(folder / 'minutes.json')


def read_minutes(folder: Path) -> dict[str, float]:
    path = folder / 'minutes.json'
    return json.loads(path.read_text()) if path.is_file() else {}


def run(title: str, command: list, log: Path) -> None:
    """Run one of the tools, with its output in `log` and its progress on the screen."""
    print(f'\n{title} (log: {log})', flush=True)
    command = [sys.executable, str(TOOLS / command[0]), *map(str, command[1:])]
    with (
        log.open('a') as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as child,
    ):
        for line in child.stdout:
            file.write(line)
            if found := PROGRESS.search(line):
                at, total, eta, loss = found.groups()
                print(f'  iteration {at:>4} of {total}, loss {loss}, {eta} to go', flush=True)
    if child.returncode:
        tail = log.read_text().splitlines()[-25:]
        sys.exit('\n'.join([*tail, f'error: {title} failed; see {log} for the whole output']))


def overview(folder: Path, rows: int = 3) -> Path:
    """Combine some pictures of both tasks into one, with detection on the left."""
    from PIL import Image, ImageDraw, ImageFont  # available once the packages are installed

    columns = {}
    for task, title in zip(TASKS, ('Mask R-CNN', 'UperNet')):
        paths = sorted((folder / task / 'pictures').glob('*.png'))
        columns[title] = [Image.open(path) for path in paths[:: len(paths) // rows][:rows]]
    gap, margin, heading = 12, 24, 26
    lines = [max(tile.height for tile in row) + gap for row in zip(*columns.values())]
    widths = [max(tile.width for tile in column) for column in columns.values()]
    size = sum(widths) + margin, sum(lines) + heading
    sheet = Image.new('RGB', size, 'white')
    brush, x = ImageDraw.Draw(sheet), 0
    for (title, column), width in zip(columns.items(), widths):
        place = (x + width // 2, heading // 2)
        brush.text(place, title, 'black', ImageFont.load_default(18), anchor='mm')
        y = heading
        for tile, height in zip(column, lines):
            sheet.paste(tile, (x, y))
            y += height
        x += width + margin
    path = folder / 'overview.png'
    sheet.quantize(256, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
    return path


def finish(folder: Path, configs: dict[str, str]) -> None:
    """Write summary.json; print the tables, the pictures' folders, and what to try next."""
    results = {task: json.loads((folder / task / 'metrics.json').read_text()) for task in TASKS}
    installed = Path(sys.prefix, 'installed')  # make install stores its seconds there
    install = int(installed.read_text()) / 60 if installed.is_file() else 0
    summary = {
        'mask_ap50': results['detection']['metrics']['coco/segm_mAP_50'],
        'miou': results['segmentation']['metrics']['mIoU'] / 100,
        'minutes': {'install': round(install, 2), 'data': 0, **read_minutes(folder)},
        'configs': configs,
    }
    (folder / 'summary.json').write_text(json.dumps(summary, indent=1) + '\n')
    for task in TASKS:
        print(f'\n{task} on the held-out scenes\n{results[task]["tables"]}')
    steps = ', '.join(f'{step} {minutes:.1f}' for step, minutes in summary['minutes'].items())
    python = os.path.relpath(sys.executable)
    python = sys.executable if python.startswith('..') else python
    checkpoint = folder / 'detection' / 'last.pth'
    print(f"""
minutes: {steps}
pictures, ground truth beside prediction:
  {overview(folder)}
  {folder}/detection/pictures/
  {folder}/segmentation/pictures/
summary: {folder}/summary.json

What to try next:
  {python} -m backbones quickstart --backbone cswin
  {python} -m backbones predict {configs['detection']} {checkpoint} {DATA}/images/val --out found
  {python} -m backbones train mask_rcnn_dilateformer_t_coco --data-root DIR_OF_COCO""")


if __name__ == '__main__':
    main()
