#!/usr/bin/env python
"""Measure docs/performance.json and write docs/performance.md from it.

tools/performance.py measure [SECTION ...] [--again]   what is missing (or, again, all of it)
tools/performance.py page                              the page alone
tools/performance.py summary                           the README's lines
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIVE = 'dilateformer_t volo_d1 cswin_t moganet_t cloformer_xs'
PEERS = 'timm_swin_t timm_convnext_t mmdet_resnet50 mmdet_swin_t'
SECTIONS = {  # arguments of tools/benchmark.py; 'peers' is a part of 'inference'
    'inference': [
        f'{FIVE} {PEERS} --size 800 1280 --threads 1 2 --repeats 4 --reference-repeats 2'
    ],
    'train': [
        f'{FIVE} --size 512 512 --modes train --threads 1 2 --repeats 4 --reference-repeats 2'
    ],
    'compiled': [f'{FIVE} --backends auto --runs eager compiled --repeats 7 --no-peak'],
    'linear': [f'{FIVE} --backends auto --size 512 512 --size 1024 2048 --repeats 3 --no-peak'],
    'memory': ['--memory --size 800 1280 --batch 2'],
    'data': ['--data configs/mask_rcnn_dilateformer_t_coco.py --data-root invented'],
    'evaluation': ['--evaluation 5000'],
}
ALIASES = {'peers': 'inference'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('command', choices=('measure', 'page', 'summary'))
    known = (*SECTIONS, *ALIASES)
    parser.add_argument('sections', nargs='*', metavar='SECTION', help=', '.join(known))
    parser.add_argument('--again', action='store_true', help='also what is measured already')
    parser.add_argument('--folder', type=Path, default=ROOT / 'docs', help='of JSON, notes, page')
    args = parser.parse_args()
    wrong = [section for section in args.sections if section not in known]
    if wrong:
        parser.error(f'no section {wrong[0]!r}; allowed: {", ".join(known)}')
    if not args.folder.is_dir():
        parser.error(f'--folder is {args.folder}; there is no such folder')
    chosen = [ALIASES.get(section, section) for section in args.sections or SECTIONS]
    args.sections = list(dict.fromkeys(chosen))
    return args


def measure(section: str) -> dict:
    """Run the commands of a section, each in one process."""
    found, start = dict(results=[]), time.perf_counter()
    for command in commands()[section]:
        print(command, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, 'results.json')
            words = [sys.executable, *shlex.split(command), '--json', str(file)]
            subprocess.run(words, cwd=ROOT, check=True)
            report = json.loads(file.read_text())
        found.setdefault('machine', report['machine'])
        found['results'] += report['results']
    return found | dict(minutes=round((time.perf_counter() - start) / 60, 1))


def commands() -> dict[str, list[str]]:
    return {
        section: [f'tools/benchmark.py {words}' for words in lines]
        for section, lines in SECTIONS.items()
    }


def write_page(report: dict, folder: Path) -> None:
    (folder / 'performance.md').write_text(made_page(report, folder))


def made_page(report: dict, folder: Path) -> str:
    import yaml

    from backbones.benchmark.page import page

    file = folder / 'performance_notes.yml'
    notes = yaml.safe_load(file.read_text()) if file.is_file() else None
    return page(report, notes or {}, commands())


def main() -> None:
    args = parse_args()
    file = args.folder / 'performance.json'
    report = json.loads(file.read_text()) if file.is_file() else {}
    if args.command == 'summary':
        from backbones.benchmark.page import summary

        return print(summary(report))
    if args.command == 'measure':
        for section in args.sections:
            if section in report and not args.again:
                print(f'{section} is measured; --again measures it anew')
                continue
            report[section] = measure(section)
            report = {name: report[name] for name in SECTIONS if name in report}
            file.write_text(json.dumps(report, indent=1) + '\n')
            write_page(report, args.folder)
    write_page(report, args.folder)


if __name__ == '__main__':
    main()
