#!/usr/bin/env python
"""Measure docs/performance.json and write docs/performance.md from it.

benchmarks/performance.py measure [SECTION ...] [--again]   measure what is missing (--again: all)
benchmarks/performance.py page                              only write the page
benchmarks/performance.py goals                             list missed goals of goals.yml
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parent / 'docs'
NAMES = 'dilateformer_t volo_d1 cswin_t moganet_t cloformer_xs'
PEERS = 'timm_swin_t timm_convnext_t mmdet_resnet50 mmdet_swin_t'
USUAL = (
    'timm:resnet50 timm:regnety_032 timm:efficientnet_b3 timm:swin_tiny_patch4_window7_224 '
    'timm:convnext_tiny timm:pvt_v2_b2 timm:davit_tiny timm:vit_small_patch16_224 '
    'timm:vit_small_patch16_dinov3'
)
CONFIGS = ' '.join(
    f'configs/{method}_{name}_{data}.py'
    for method, data in (('mask_rcnn', 'coco'), ('upernet', 'ade20k'))
    for name in NAMES.split()
)
TURNS = '--threads 1 2 --repeats 4 --plain-repeats 2'
SECTIONS = {  # arguments of measure.py
    'inference': f'{NAMES} {PEERS} --size 800 1280 {TURNS}',
    'train': f'{NAMES} --size 512 512 --modes train {TURNS}',
    'iteration': f'--iteration {CONFIGS} --threads 2 --repeats 2',
    'compiled': f'{NAMES} --backends auto --runs eager compiled --repeats 7 --no-peak',
    'linear': f'{NAMES} --backends auto --size 512 512 --size 1024 2048 --repeats 3 --no-peak',
    'usual': f'{NAMES} {USUAL} --backends auto --size 512 512 --size 1024 1024 --repeats 3 '
    '--no-peak --train-peak',
    'memory': '--memory --size 800 1280 --batch 2',
    'cards': '--cards --size 800 1280 --batch 2',
}


def measure(section: str) -> dict:
    """Run a section in a separate process."""
    print(section, flush=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'results.json')
        words = [HERE / 'measure.py', *SECTIONS[section].split(), '--json', file]
        subprocess.run([sys.executable, *words], check=True)
        found = json.loads(file.read_text())
    return found | dict(minutes=round((time.perf_counter() - start) / 60, 1))


def missed(report: dict, goals: dict) -> Iterator[str]:
    """Yield a line for each measurement of `report` that is above its goal."""
    for section, kinds in goals.items():
        for kind, limits in kinds.items():
            for r in report.get(section, dict(results=()))['results']:
                limit = limits.get(r['backbone']) if r['backend'] == 'auto' else None
                if limit and r.get(kind) and r[kind] > limit:
                    where = f'{section}, {r["backbone"]}, threads {r["threads"]}'
                    yield f'{where}: {kind} is {r[kind]}; goal: at most {limit}'


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('command', choices=('measure', 'page', 'goals'))
    parser.add_argument('sections', nargs='*', metavar='SECTION', help=', '.join(SECTIONS))
    parser.add_argument('--again', action='store_true', help='also repeat existing measurements')
    args = parser.parse_args(words)
    for section in args.sections:
        if section not in SECTIONS:
            parser.error(f'no section {section!r}; allowed: {", ".join(SECTIONS)}')
    import yaml  # imported late: --help must answer at once
    from page import page

    file = DOCS / 'performance.json'
    report = json.loads(file.read_text()) if file.is_file() else {}
    if args.command == 'goals':
        lines = missed(report, yaml.safe_load((HERE / 'goals.yml').read_text()))
        return print('\n'.join(lines) or 'no goal is missed')
    for section in args.sections or SECTIONS if args.command == 'measure' else ():
        if args.again or section not in report:
            report[section] = measure(section)
            report = {name: report[name] for name in SECTIONS if name in report}
            # after each section, so that an interrupted run can continue with the others
            file.write_text(json.dumps(report, indent=1) + '\n')
    commands = {name: f'benchmarks/measure.py {words}' for name, words in SECTIONS.items()}
    (DOCS / 'performance.md').write_text(page(report, commands))


if __name__ == '__main__':
    main()
