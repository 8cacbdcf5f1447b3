"""Write docs/model_zoo.md from configs/; docs/model_zoo.json keeps the counts of the models."""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIGS, PAGE, COUNTS = (ROOT / p for p in ('configs', 'docs/model_zoo.md', 'docs/model_zoo.json'))
METRICS = dict(box='box AP', box50='box AP50', box75='box AP75', mask='mask AP',
               mask50='mask AP50', mask75='mask AP75', miou='mIoU', miou_ms='mIoU multi-scale',
               macc='mAcc')  # fmt: skip
COLUMNS = ('config', 'parameters, M', 'published parameters', 'MACs, G', 'published MACs',
           'published metrics', 'status', 'training', 'starts from', 'checkpoint')  # fmt: skip
HEAD = """\
# Model zoo

`make zoo` writes this page from `configs/` and `configs/published.yml`; do not edit it.

**No COCO, ADE20K or Cityscapes result was reproduced by this project.** Metrics are in percent, by
the authors or quoted by third parties; *status* says which, and from where. *Not published* means
that no number was found. The config says where its settings are from.

- *Parameters* (millions) and *MACs* (1e9 multiply-adds, attention included) are those that
  `tools/model_complexity.py` counts for the whole model and one image: 1280x800 pixels on COCO, the
  test size on ADE20K and Cityscapes, in a single pass also where the test slides windows.
  *Published*: the authors' figure, and how far ours is from it.
- *Training*: AdamW, learning rate, weight decay, images per iteration on 8 GPUs, schedule, warm-up
  in iterations, drop path, factor by which the learning rate falls from layer to layer, size of the
  images: crops in segmentation, the short side in detection.
- *Starts from*: the ImageNet file that the config loads. *Checkpoint*: the authors' file of the
  whole model, for `tools/test.py CONFIG FILE`; loading is tested on its layout, not on the file.

Counted further than 2 % from the published figure, and why:

"""


@dataclass
class Leaf:
    """A config with its first line, its row of published.yml, and its counts."""

    name: str
    link: str
    title: str
    cfg: object  # None for the embedded digits
    row: dict
    count: dict


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='fail if the page is not up to date')
    parser.add_argument('--recount', action='store_true', help='count every model, in 3 minutes')
    args = parser.parse_args(words)
    from backbones.errors import plain_errors  # imported late: --help must answer at once

    with plain_errors():
        known = json.loads(COUNTS.read_text()) if COUNTS.exists() and not args.recount else {}
        leaves, weights = read_leaves(known)
        counted = [leaf for leaf in leaves if leaf.cfg]
        changed = [leaf for leaf in counted if leaf.count.get('model') != digest(leaf.cfg)]
        complete = not changed and len(known) == len(counted) and PAGE.exists()
        if not args.check:
            count(changed)
            lines = (f'  "{leaf.name}": {json.dumps(leaf.count)}' for leaf in counted)
            COUNTS.write_text('{\n' + ',\n'.join(lines) + '\n}\n')
            PAGE.write_text(page(leaves, weights))
        elif not complete or PAGE.read_text() != page(leaves, weights):
            raise ValueError('docs/model_zoo.md does not agree with configs/; `make zoo` mends it')


def read_leaves(known: dict) -> tuple[list[Leaf], dict[str, str]]:
    """Every leaf, and by backbone where weights lie that no config names.

    Raises:
        ValueError: published.yml has a row without a config.
    """
    import yaml
    from mmengine.config import Config

    table = yaml.safe_load((CONFIGS / 'published.yml').read_text())
    paths = {path.stem: path for path in sorted(CONFIGS.glob('*.py'))}
    if lost := sorted(set(table['configs']) - set(paths)):
        raise ValueError(f'configs/published.yml has rows without a config: {", ".join(lost)}')
    return [
        Leaf(
            name=name,
            link=f'[{name}](../configs/{name}.py)',
            title=path.read_text().splitlines()[0].removeprefix('# '),
            cfg=None if name.endswith('digits') else Config.fromfile(path),
            row=table['configs'].get(name, dict(status='not published')),
            count=known.get(name, {}),
        )
        for name, path in paths.items()
    ], table['weights']


def digest(cfg: object) -> str:
    """Changes with whatever the counts may depend on."""
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


def page(leaves: list[Leaf], weights: dict[str, str]) -> str:
    """The whole page: head, reasons of what disagrees, and a table per method."""
    from backbones.commands.tables import table

    text, tables, digits = HEAD, {}, []
    for leaf in leaves:
        for key, why in leaf.row.get('misses', {}).items():
            text += (
                f'- `{leaf.name}`, {key}: {" here, ".join(figures(leaf, key))} published. {why}\n'
            )
        if leaf.cfg:
            method, data, schedule = re.match(r'(.+) \+ [^,]+, (\w+), (\w+)', leaf.title).groups()
            tables.setdefault(f'{method}, {data}, {schedule}', []).append(leaf)
        elif 'measured here' in leaf.title and 'Not yet' not in leaf.title:
            digits.append((leaf.link, leaf.title.split('embedded digits, ')[1]))
    for heading, rows in sorted(tables.items()):
        rows.sort(key=lambda leaf: (leaf.cfg.model.backbone.type.lower(), leaf.count['params']))
        text += f'\n## {heading}\n\n{table(COLUMNS, [cells(leaf, weights) for leaf in rows])}\n'
        notes = [f'\n- `{leaf.name}`: {leaf.row["note"]}' for leaf in rows if 'note' in leaf.row]
        text += ''.join(notes) + '\n' * bool(notes)
    return f'{text}\n## Embedded digits, measured here\n\n{table(("config", "result"), digits)}\n'


def cells(leaf: Leaf, weights: dict[str, str]) -> tuple[str, ...]:
    """A leaf's row, in the order of `COLUMNS`."""
    row, backbone = leaf.row, leaf.cfg.model.backbone
    start, file = (backbone.get('init_cfg') or {}).get('checkpoint'), row.get('checkpoint')
    return (
        leaf.link,
        *figures(leaf, 'params'),
        *figures(leaf, 'macs'),
        ', '.join(f'{row[key]} {name}' for key, name in METRICS.items() if key in row),
        row['status'] + (f' ({row["source"]})' if 'source' in row else ''),
        ', '.join(training(leaf.cfg)),
        f'[{Path(start).name}]({start})' if start else weights[backbone.type],
        f'[{file}]({row["release"]}{file})' if file else '',
    )


def figures(leaf: Leaf, key: str) -> tuple[str, str]:
    """Our figure, and the published one with the difference."""
    digits, unit = (2, 1e6) if key == 'params' else (1, 1e9)
    here, there = leaf.count[key] / unit, leaf.row.get(key)
    difference = there and round(100 * (here / there - 1), 1) + 0  # + 0: no -0.0
    return f'{here:.{digits}f}', f'{there} ({difference:+.1f} %)' if there else ''


def training(cfg: object) -> Iterator[str]:
    """The settings that decide a result."""
    loop, optimizer, first = cfg.train_cfg, cfg.optim_wrapper.optimizer, cfg.param_scheduler[0]
    yield f'lr {optimizer.lr:g}'
    yield f'decay {optimizer.weight_decay:g}'
    yield f'batch {8 * cfg.train_dataloader.batch_size}'  # GPUs
    yield f'{loop.max_epochs} epochs' if 'max_epochs' in loop else f'{loop.max_iters} iterations'
    yield f'warm-up {first.end}' if first.type == 'LinearLR' else 'no warm-up'
    yield f'drop path {cfg.model.backbone.get("drop_path_rate", 0)}'
    if 'decay_rate' in cfg.optim_wrapper.get('paramwise_cfg', {}):
        yield f'lr by layer {cfg.optim_wrapper.paramwise_cfg.decay_rate}'
    if 'size' in cfg.model.data_preprocessor:
        yield '{}x{}'.format(*cfg.model.data_preprocessor['size'])
    else:
        sides = {min(scale) for scale in scales(cfg.train_dataloader.dataset.pipeline)}
        yield '-'.join(str(side) for side in sorted({min(sides), max(sides)}))
    if cfg.model.test_cfg.get('mode') == 'slide':
        yield 'test in windows'


def scales(pipeline: list) -> Iterator[tuple[int, int]]:
    """The sizes to which a pipeline resizes at last."""
    for step in pipeline:
        yield from [step['scale']] if 'scale' in step else step.get('scales', ())
        if 'transforms' in step:
            yield from scales(step['transforms'][0])


if __name__ == '__main__':
    main()
