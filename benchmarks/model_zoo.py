#!/usr/bin/env python
"""Write docs/model_zoo.md and README.md's table of variants; docs/model_zoo.json keeps counts."""

import argparse
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from training_settings import training

ROOT = Path(__file__).parent.parent
CONFIGS, PAGE, COUNTS, README = (
    ROOT / path for path in ('configs', 'docs/model_zoo.md', 'docs/model_zoo.json', 'README.md')
)
VARIANTS = re.compile(r'(?<=<!-- variants: written by `make zoo` -->\n).*?(?=<!-- end -->)', re.S)
METRICS = dict(box='box AP', mask='mask AP', box50='box AP50', box75='box AP75',
               mask50='mask AP50', mask75='mask AP75', miou='mIoU', miou_ms='multi-scale',
               macc='mAcc')  # fmt: skip
COLUMNS = ('config', 'parameters, M', 'MACs, G', 'drop path', 'result, %', 'weights')
NANOS = (
    'Each result is the mean and standard deviation of three training runs, seeds 0, 1 and '
    '2. [What was tried](own_data_measured.md) explains those on small datasets.'
)
HEAD = """\
# Model zoo

<!-- written by `make zoo` from configs/ and configs/published.yml: do not edit -->

This page lists the configs in `configs/`, with the results that others have reported for them.
**This project has not reproduced any result on COCO, ADE20K or Cityscapes yet.** The number in
brackets after a result names its source:

{sources}

How to read the tables:

- *Config*: replaces NAME in the file name above the table. Training starts from the backbone's
  [ImageNet weights](../README.md#variants). If they cannot be downloaded, pass your copy with
  `--pretrained FILE`; otherwise training starts from scratch.
- *Parameters* (millions) and *MACs* (billions of multiply-adds) are those of the whole model as
  `tools/model_complexity.py` counts them, with the authors' figure in brackets. The image has
  1280x800 pixels on COCO. On ADE20K and Cityscapes it has the size that is used for testing, and is
  processed as a whole even if the test uses sliding windows.
- *Drop path*: the rate of the last block.
- *Result*: AP, mIoU and mAcc in percent; *multi-scale* is mIoU at several scales and flipped. A
  dash means that we found no number.
- *Weights*: the authors' file of the whole model, for `tools/test.py CONFIG FILE`. We tested files
  of the same layout, not the files themselves.

If nobody reports a result, a variant has no config here. Use another variant's config with
`--backbone`: `tools/train.py configs/retinanet_moganet_s_coco.py --backbone volo_d1` keeps its
recipe. With `--recipe published`, it uses the optimizer of VOLO-D1's configs for Mask R-CNN and
UperNet.

A batch is the number of images per iteration on 8 GPUs. The comment at the top of a config says
where its settings come from.
"""


@dataclass
class Leaf:
    """A config with its first line, its row of published.yml, and its counts."""

    name: str
    title: str
    cfg: object  # None for the nano architectures, which were measured here
    row: dict
    count: dict

    @property
    def table(self) -> str:
        """The heading of the config's table: method, dataset and schedule."""
        method, data, schedule = re.match(r'(.+) \+ [^,]+, (\w+), (\w+)', self.title).groups()
        return f'{method}, {data}, {schedule}'

    @property
    def label(self) -> str:
        """What distinguishes the config from the others in its table, such as 'cswin_b_640'."""
        method, data, _ = self.table.lower().replace('-', '').replace(' ', '_').split(',_')
        return re.fullmatch(rf'{method}_(.+?)(_\dx)?_{data}', self.name)[1]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='fail if they are not up to date')
    parser.add_argument('--recount', action='store_true', help='count every model, in 3 minutes')
    args = parser.parse_args(words)
    from backbones.errors import UserError, plain_errors  # late: --help must answer at once

    with plain_errors():
        known = json.loads(COUNTS.read_text()) if COUNTS.exists() and not args.recount else {}
        leaves, sources = read_leaves(known)
        counted = [leaf for leaf in leaves if leaf.cfg]
        changed = [leaf for leaf in counted if leaf.count.get('model') != digest(leaf.cfg)]
        if args.check:
            complete = not changed and len(known) == len(counted) and PAGE.exists()
            if not complete or PAGE.read_text() != page(leaves, sources):
                raise UserError(
                    'docs/model_zoo.md does not agree with configs/; `make zoo` fixes it'
                )
            if README.read_text() != readme():
                raise UserError(
                    'README.md does not list the existing variants; `make zoo` fixes it'
                )
        else:
            count(changed)
            lines = (f'  "{leaf.name}": {json.dumps(leaf.count)}' for leaf in counted)
            COUNTS.write_text('{\n' + ',\n'.join(lines) + '\n}\n')
            PAGE.write_text(page(leaves, sources))
            README.write_text(readme())


def read_leaves(known: dict) -> tuple[list[Leaf], dict[str, dict]]:
    """Return all leaves, and the sources of published.yml with their numbers on the page.

    Raises:
        UserError: published.yml has a row without a config.
    """
    import yaml
    from mmengine.config import Config

    from backbones.errors import UserError

    table = yaml.safe_load((CONFIGS / 'published.yml').read_text())
    paths = {path.stem: path for path in sorted(CONFIGS.glob('*.py'))}
    if lost := sorted(set(table['configs']) - set(paths)):
        raise UserError(f'configs/published.yml has rows without a config: {", ".join(lost)}')
    return [
        Leaf(
            name=name,
            title=path.read_text().splitlines()[0].removeprefix('# '),
            cfg=None if '_nano_' in name else Config.fromfile(path),
            row=table['configs'].get(name, {}),
            count=known.get(name, {}),
        )
        for name, path in paths.items()
    ], {key: dict(source, number=i) for i, (key, source) in enumerate(table['sources'].items(), 1)}


def digest(cfg: object) -> str:
    """Return a digest of everything on which the counts may depend."""
    model = cfg.model.to_dict()
    model['backbone'].pop('init_cfg', None)
    text = json.dumps([model, cfg.test_dataloader.dataset.pipeline], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def count(leaves: list[Leaf]) -> None:
    from backbones.openmmlab.complexity import complexity

    for leaf in leaves:
        print(f'counting {leaf.name}')
        found = complexity(leaf.cfg)
        leaf.count = dict(model=digest(leaf.cfg), params=found['params'], macs=found['macs'])


def readme() -> str:
    """Return README.md with the table of all registered variants."""
    from backbones.registry import variants
    from backbones.tables import table

    head = ('name', 'class', '`arch`', 'parameters, M', 'MACs, G', 'ImageNet weights')
    rows = [
        (
            f'`{row.name}`',
            row.cls.__name__,
            f'`{row.arch}`',
            f'{row.parameters / 1e6:.1f}' if row.parameters else None,
            f'{row.gmacs:.1f}' if row.gmacs else None,
            ', '.join(_files(row)) or row.cls.WEIGHTS,
        )
        for row in variants().values()
    ]
    written = f'\n{table(head, rows, padded=False)}\n\n'
    return VARIANTS.sub(lambda _: written, README.read_text())


def _files(row: 'Variant') -> Iterator[str]:  # noqa: F821
    if row.weights:
        yield f'[file]({row.weights})'
    yield from (f'[{label}]({url})' for label, url in row.more_weights.items())


def page(leaves: list[Leaf], sources: dict[str, dict]) -> str:
    """Return the page: the head, and for each method the recipe, a table and notes."""
    from backbones.tables import table

    tables: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        if leaf.cfg:
            tables.setdefault(leaf.table, []).append(leaf)
    listed = [
        item(f'{s["status"].capitalize()}: {s["source"]}.', f'{s["number"]}.')
        for s in sources.values()
    ]
    text = HEAD.format(sources='\n'.join(listed))
    for heading, rows in sorted(tables.items()):
        rows.sort(
            key=lambda leaf: (
                leaf.cfg.model.backbone.type.lower(),
                leaf.count['params'],
                leaf.label,
            )
        )
        found = table(COLUMNS, [cells(leaf, sources) for leaf in rows], padded=False)
        told = ''.join(f'{line}\n' for leaf in rows for line in notes(leaf))
        text += f'\n## {heading}\n\n{recipe(rows)}\n\n{found}\n' + (told and f'\n{told}')
    nanos = [
        (link(leaf, leaf.name), leaf.title.split(', ', 1)[1].removesuffix(' (ours)'))
        for leaf in leaves
        if not leaf.cfg and '(ours)' in leaf.title and 'Not yet' not in leaf.title
    ]
    text += '\n## Nano architectures from scratch, measured here\n\n'
    text += f'{NANOS}\n\n'
    return f'{text}{table(("config", "result"), nanos, padded=False)}\n'


def item(text: str, bullet: str = '-') -> str:
    """Format an entry of a list, wrapped into lines."""
    indent = ' ' * (len(bullet) + 1)
    return fill(text, 100, initial_indent=f'{bullet} ', subsequent_indent=indent,
                break_long_words=False, break_on_hyphens=False)  # fmt: skip


def link(leaf: Leaf, text: str) -> str:
    return f'[{text}](../configs/{leaf.name}.py)'


def cells(leaf: Leaf, sources: dict[str, dict]) -> tuple[str | None, ...]:
    """Return a leaf's row, in the order of `COLUMNS`."""
    row = leaf.row
    by_source = {row['source']: row} if 'source' in row else {}
    results = [
        ', '.join(f'{numbers[key]} {name}' for key, name in METRICS.items() if key in numbers)
        + f' [{sources[source]["number"]}]'
        for source, numbers in {**by_source, **row.get('reproduced', {})}.items()
    ]
    file = row.get('checkpoint')
    return (
        link(leaf, leaf.label),
        figures(leaf, 'params'),
        figures(leaf, 'macs'),
        leaf.cfg.model.backbone.get('drop_path_rate', 0),
        '; '.join(results) or None,
        f'[file]({sources[row["source"]]["release"]}{file})' if file else None,
    )


def figures(leaf: Leaf, key: str) -> str:
    """Return our figure, with the published one in brackets."""
    here = f'{leaf.count[key] / 1e6:.2f}' if key == 'params' else f'{leaf.count[key] / 1e9:.1f}'
    return f'{here} ({leaf.row[key]})' if key in leaf.row else here


def notes(leaf: Leaf) -> Iterator[str]:
    """Yield notes on a row, and reasons why a figure disagrees with the published one."""
    if 'note' in leaf.row:
        yield item(f'`{leaf.label}`: {leaf.row["note"]}')
    for key, why in leaf.row.get('misses', {}).items():
        there = leaf.row[key] * (1e6 if key == 'params' else 1e9)
        name = 'parameters' if key == 'params' else 'MACs'
        change = f'{100 * (leaf.count[key] / there - 1):+.1f} %'
        yield item(f'`{leaf.label}`: {name} {change} from the published figure. {why}')


def recipe(leaves: list[Leaf]) -> str:
    """Return the file names, the settings that most configs of a table share, and exceptions."""
    first, settings = leaves[0], [training(leaf.cfg) for leaf in leaves]
    common = [Counter(phrases).most_common(1)[0][0] for phrases in zip(*settings)]
    shared = ', '.join(filter(None, common))
    differing: dict[str, list[str]] = {}
    for leaf, phrases in zip(leaves, settings):
        if own := ', '.join(phrase for phrase in phrases if phrase not in common):
            differing.setdefault(own, []).append(f'`{leaf.label}`')
    files = first.name.replace(first.label, 'NAME')
    lines = [fill(f'`configs/{files}.py`: {shared}.', 100, break_on_hyphens=False)]
    lines += [''] * bool(differing)
    lines += [item(f'{", ".join(names)}: {own}.') for own, names in differing.items()]
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
