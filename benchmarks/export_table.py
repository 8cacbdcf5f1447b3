#!/usr/bin/env python
"""Models of many families as ONNX files: which can be exported, and how far their numbers differ.

Each config gets a small backbone and few layers, random weights, and is exported for any size and
any number of images; where that fails, for one size. The results are compared with those of
MMDetection and MMSegmentation, at three sizes and for one and two images. Writes
docs/export_table.md and its JSON after each config; arguments are parts of the names of configs to
try anew beside those that are new. 20 seconds a config on one core.
"""

import copy
import json
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import backbones  # before mmdet, whose modules ask for mmcv's operators

# isort: split
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from torch import Tensor, nn

from backbones.deploy import compare, export
from backbones.deploy import source as sources
from backbones.deploy.onnx_file import Preprocessing
from backbones.errors import UserError, first_line
from backbones.openmmlab.build import build_for_trial
from backbones.openmmlab.config import read_config
from backbones.openmmlab.config_tree import nodes
from backbones.openmmlab.replace_backbone import swap_backbone

DOCS = Path(__file__).parent.parent / 'docs'
PAGE, RESULTS = DOCS / 'export_table.md', DOCS / 'export_table.json'
CONFIGS = Path(__file__).with_name('any_config.txt').read_text().split()
SIZES = ((128, 160), (99, 130), (64, 96))
FIXED = (96, 128)
COLOURS = Preprocessing((0,) * 3, (1,) * 3, rgb=True, divisor=32)
LARGE = {'ssd300': (300, 300)}  # in place of `FIXED`
SMALL = dict(
    dims=(32, 64, 128, 256), depths=(1, 1, 1, 1), heads=(4, 4, 8, 16), local_heads=(3, 2, 4, 4)
)
FEW = dict(num_layers=2, stacked_convs=1, num_queries=30)  # in place of more than four
SPREAD = (
    'cls',
    'fc_reg',
    'conv_logits',
    'cls_embed',
    'mask_embed',
    'cls_score',
    'convs_pred',
    'obj',
)
SPREAD += ('object_pred', 'cls_convs', 'conv_reg')


def small(cfg: Config) -> Config:
    """Give a config a small backbone, and few layers wherever it counts them."""
    try:
        cfg = swap_backbone(cfg, 'cloformer_xxs')
        cfg.model.backbone.arch = dict(SMALL, mlp_ratio=4)
    except UserError:
        pass  # one that reads other levels keeps its own
    for node in nodes(cfg.model):
        for key, value in FEW.items():
            if isinstance(node.get(key), int) and node[key] > max(value, 3):
                node[key] = value
    for name in ('test_cfg', 'panoptic_fusion_head'):
        most(cfg.model.get(name))
    return cfg


def most(settings: ConfigDict | None) -> None:
    """Lower the number of answers to what a few queries can give."""
    for node in nodes(settings or {}):
        for key in ('max_per_image', 'max_per_img'):
            if node.get(key, 0) > 25:
                node[key] = 25


def lively(model: nn.Module, run: object) -> None:
    """Spread the scores of a new detector: it would find nothing, or everything alike."""
    torch.manual_seed(0)
    model.eval()
    hooks = []

    def spread(layer: nn.Module, _: tuple, out: Tensor) -> Tensor:
        factor = (1.5 / out.std()).clamp(max=1).item()
        layer.weight.data.mul_(factor)
        return out * factor

    for name, layer in model.named_modules():
        if name.rstrip('.0123456789').endswith(SPREAD) and isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            hooks.append(layer.register_forward_hook(spread))
    (image,) = sources.samples([], [SIZES[0]], COLOURS)
    run(image)
    for hook in hooks:
        hook.remove()


def source(name: str, *, dynamic: bool) -> sources.Source:
    """A config's model with random weights, to be exported."""
    torch.manual_seed(0)
    cfg = small(read_config(name))
    model = build_for_trial(cfg, cfg.model)
    structures = import_module(f'{cfg.default_scope}.structures')
    sample = getattr(structures, 'DetDataSample', None) or structures.SegDataSample
    preprocessing = sources.preprocessing_of(cfg, dynamic)
    run = compare.model_in_pytorch(model, sample, preprocessing.divisor)
    lively(model, run)
    return sources.Source(name, model, preprocessing, run, dict(model=name), [])


def attempt(name: str) -> dict:
    """Export a config's model: for any size and batch or, where that fails, for one size."""
    outcome = {}
    fixed = next((size for part, size in LARGE.items() if part in name), FIXED)
    for mode, size, batch in (('any', None, None), ('fixed', fixed, 1)):
        start = time.process_time()
        try:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder, 'x.onnx')
                target = export.Target(size, batch)
                found = export.export(source(name, dynamic=not size), out, target).differences
        except Exception as error:  # whatever foreign code raises
            outcome[mode] = dict(error=first_line(error))
            continue
        worst: dict[str, float] = {}
        for d in found:
            what = d.what.split(',')[0]
            worst[what] = max(worst.get(what, 0), float(f'{d.found:.1g}'))
        wrong = sorted({d.what.split(',')[0] for d in found if not d.agrees})
        seconds = round(time.process_time() - start)
        outcome[mode] = dict(worst=worst, wrong=wrong, seconds=seconds)
        if not wrong:
            break
    return outcome


def cells(outcome: dict) -> list[str]:
    """Columns of the table for a config."""
    texts = []
    for mode in ('any', 'fixed'):
        part = outcome.get(mode)
        if part is None:
            texts.append('')
        elif 'error' in part:
            texts.append(part['error'])
        elif part['wrong']:
            texts.append('differs: ' + ', '.join(part['wrong']))
        else:
            texts.append('yes')
    good = [p for p in outcome.values() if 'error' not in p and not p['wrong']]
    texts.append(', '.join(f'{k} {v:g}' for k, v in good[0]['worst'].items()) if good else '')
    return texts


def page(results: dict[str, dict]) -> str:
    """docs/export_table.md."""
    table = {name: cells(outcome) for name, outcome in results.items()}
    whole = sum(row[0] == 'yes' for row in table.values())
    some = sum('yes' in row[:2] for row in table.values())
    lines = [
        '# Which models can be exported',
        '',
        '<!-- written by benchmarks/export_table.py: do not edit -->',
        '',
        'Configs of MMDetection and MMSegmentation, each with a small CloFormer where it reads a',
        'feature pyramid, few layers and random weights, exported by the code of `tools/export.py`',
        'and compared with the library: at three sizes and for one and two images ("any size and',
        'batch") or, where that fails, for one size. The last column has the largest differences,',
        'for maps and logits relative to the largest value.',
        '',
        f'{len(results)} configs: {some} can be exported, {whole} of them for any size and batch.',
        '',
        '| config | any size and batch | one size | largest differences |',
        '| :-- | :-- | :-- | :-- |',
    ]
    for name, row in table.items():
        text = [f'`{name}`', *(cell.replace('|', '\\|') for cell in row)]
        lines.append('| ' + ' | '.join(text) + ' |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    torch.set_num_threads(1)
    MMLogger.get_instance('export_table', log_level='ERROR')  # else each parameter is a line
    export.SIZES = SIZES
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    wanted = sys.argv[1:]
    for name in CONFIGS:
        if name not in known or any(part in name for part in wanted):
            known[name] = attempt(name)
            print(name, *cells(known[name]), sep=' | ', flush=True)
            results = {n: copy.copy(known[n]) for n in CONFIGS if n in known}
            RESULTS.write_text(json.dumps(results, indent=0) + '\n')
            PAGE.write_text(page(results))


if __name__ == '__main__':
    assert backbones.BACKBONES
    main()
