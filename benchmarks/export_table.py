#!/usr/bin/env python
"""Try which models of many families can be exported, as a module and as ONNX files.

Each config gets a small backbone, few layers and random weights. The module for export is compared
with MMDetection's and MMSegmentation's own predictions on two padded images at once, which takes a
second or two. Arguments are parts of the names of configs that are also exported, for any size and
any number of images or, if that fails, for one size, which takes a minute each. Writes
docs/export_table.md and its JSON after each config.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import backbones  # before mmdet, whose modules import mmcv's operators

# isort: split
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from torch import Tensor, nn

from backbones.deploy import compare, export
from backbones.deploy import source as sources
from backbones.deploy.models import exportable
from backbones.deploy.preprocessing import Preprocessing
from backbones.deploy.torch_file import Whole
from backbones.errors import UserError, first_line
from backbones.openmmlab.build import build_for_trial, check_single_images
from backbones.openmmlab.config import read_config
from backbones.openmmlab.config_tree import nodes, with_backbone
from backbones.openmmlab.replace_backbone import swap_backbone

DOCS = Path(__file__).parent.parent / 'docs'
PAGE, RESULTS = DOCS / 'export_table.md', DOCS / 'export_table.json'
CONFIGS = Path(__file__).with_name('any_config.txt').read_text().split()
SIZES = ((128, 160), (99, 130), (64, 96))
FIXED = (96, 128)
COLOURS = Preprocessing((0,) * 3, (1,) * 3, rgb=True, divisor=32)
# of models that accept no smaller images
LARGE = {'ssd300': (300, 300), 'mobilenet_v3': (512, 512), 'detectors_cascade': (128, 160)}
SMALL = dict(
    dims=(32, 64, 128, 256), depths=(1, 1, 1, 1), heads=(4, 4, 8, 16), local_heads=(3, 2, 4, 4)
)
FEW = dict(num_layers=2, num_cp=0, stacked_convs=1, num_queries=30)  # replace larger numbers
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
SPREAD += ('object_pred', 'cls_convs', 'conv_reg', 'cls_out', 'rtm_kernel')
# all layers of these, which would otherwise give all instances the same, even mask
SPREAD_BELOW = ('bbox_head.kernel_convs.', 'bbox_head.mask_head.')


def small(cfg: Config) -> Config:
    """Give a config a small backbone, and few layers wherever it counts them."""
    try:
        cfg = swap_backbone(cfg, 'cloformer_xxs')
        with_backbone(cfg.model).backbone.arch = dict(SMALL, mlp_ratio=4)
    except UserError:
        pass  # a model that reads other levels keeps its backbone
    backbone = {id(node) for node in nodes(cfg.model.get('backbone', {}))}
    for node in nodes(cfg.model):
        for key, value in FEW.items():
            many = isinstance(node.get(key), int) and node[key] > max(value, 3)
            if many and id(node) not in backbone:
                node[key] = value
    for name in ('test_cfg', 'panoptic_fusion_head'):
        most(cfg.model.get(name))
    return cfg


def most(settings: ConfigDict | None) -> None:
    """Lower the number of results to what a few queries can give."""
    for node in nodes(settings or {}):
        for key in ('max_per_image', 'max_per_img'):
            if node.get(key, 0) > 25:
                node[key] = 25


def lively(model: nn.Module, run: object, size: tuple[int, int]) -> None:
    """Spread a new detector's scores, because it would find nothing, or everything equally."""
    torch.manual_seed(0)
    model.eval()
    hooks = []

    def spread(layer: nn.Module, _: tuple, out: Tensor) -> Tensor:
        factor = (1.5 / out.std()).clamp(max=1).item()
        layer.weight.data.mul_(factor)
        return out * factor

    for name, layer in model.named_modules():
        named = name.rstrip('.0123456789').endswith(SPREAD) or name.startswith(SPREAD_BELOW)
        if named and isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            hooks.append(layer.register_forward_hook(spread))
    (image,) = sources.samples([], [size], COLOURS)
    run(image)
    for hook in hooks:
        hook.remove()


def source(name: str, *, dynamic: bool) -> sources.Source:
    """A config's small model with random weights, to be exported."""
    return source_of(small(read_config(name)), name, dynamic=dynamic)


def source_of(cfg: Config, name: str, *, dynamic: bool) -> sources.Source:
    """A model with random weights, to be exported."""
    torch.manual_seed(0)
    check_single_images(cfg.model)
    model = build_for_trial(cfg, cfg.model)
    exportable(model)  # refuses first, because predictions may need more than images
    structures = import_module(f'{cfg.default_scope}.structures')
    sample = getattr(structures, 'DetDataSample', None) or structures.SegDataSample
    preprocessing = sources.preprocessing_of(cfg, dynamic)
    run = compare.model_in_pytorch(model, sample, preprocessing.divisor)
    lively(model, run, sizes_of(name)[0])
    return sources.Source(model, preprocessing, run, dict(model=name), [])


def large(name: str) -> tuple[int, int] | None:
    """Return the image size for a config whose model accepts no smaller images."""
    return next((size for part, size in LARGE.items() if part in name), None)


def sizes_of(name: str) -> tuple[tuple[int, int], ...]:
    """Return the sizes at which to compare a config's model."""
    return (size,) if (size := large(name)) else SIZES


def as_module(source: sources.Source) -> Callable[[list[np.ndarray]], list[compare.Outputs]]:
    """The exported module as a function like that of `compare.runner`."""
    module = exportable(source.model)

    def run(images: list[np.ndarray]) -> list[compare.Outputs]:
        height, width = images[0].shape[:2]
        whole = Whole(module, source.preprocessing, (height, width))
        with torch.no_grad():
            outputs = whole(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous())
        return compare.apart({k: v.numpy() for k, v in zip(module.outputs, outputs, strict=True)})

    return run


def summary(found: list[compare.Difference]) -> dict:
    """The largest difference of each kind, and the kinds that are too large."""
    worst: dict[str, float] = {}
    for d in found:
        what = d.what.split(',')[0]
        worst[what] = max(worst.get(what, 0), float(f'{d.found:.1g}'))
    wrong = {d.what.split(',')[0] for d in found if not d.agrees}
    return dict(worst=worst, wrong=sorted(wrong))


def try_module(name: str) -> dict:
    """Compare the exported module; in float64 as well if it differs."""
    export.SIZES = sizes_of(name)
    try:
        outcome = compare_module(source(name, dynamic=True))
        if outcome['wrong']:
            outcome['float64'] = compare_module(in_float64(source(name, dynamic=True)))
        return outcome
    except Exception as error:  # third-party code may raise anything
        return dict(error=first_line(error))


def compare_module(model: sources.Source) -> dict:
    return summary(export.compared(model, as_module(model), export.Target(None, None)))


def in_float64(model: sources.Source) -> sources.Source:
    """Let a model compute in float64, where rounding differences nearly vanish."""
    model.model.double()
    model.model.backbone.register_forward_pre_hook(lambda _, images: (images[0].double(),))
    return model


def try_files(name: str) -> dict[str, dict]:
    """Export a config's model for any size and batch or, if that fails, for one size."""
    export.SIZES = sizes_of(name)
    outcome: dict[str, dict] = {}
    fixed = large(name) or FIXED
    for mode, size, batch in (('any', None, None), ('fixed', fixed, 1)):
        try:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder, 'x.onnx')
                model = source(name, dynamic=not size)
                found = export.export(model, out, export.Target(size, batch)).differences
        except Exception as error:  # third-party code may raise anything
            outcome[mode] = dict(error=first_line(error))
            continue
        outcome[mode] = summary(found)
        if not outcome[mode]['wrong']:
            break
    return outcome


def cells(outcome: dict) -> list[str]:
    """Return the table's cells for a config."""
    texts = []
    for mode in ('module', 'any', 'fixed'):
        part = outcome.get(mode)
        if part is None:
            texts.append('')
        elif 'error' in part:
            texts.append(part['error'].removeprefix('UserError: ').split('; allowed:')[0])
        elif part['wrong']:
            rounding = 'float64' in part and not part['float64']['wrong']
            exact = ', but not in float64' if rounding else ''
            texts.append(f'differs: {", ".join(part["wrong"])}{exact}')
        else:
            texts.append('yes')
    parts = [outcome[mode] for mode in ('any', 'fixed', 'module') if mode in outcome]
    good = [part for part in parts if 'error' not in part and not part['wrong']]
    texts.append(', '.join(f'{k} {v:g}' for k, v in good[0]['worst'].items()) if good else '')
    return texts


def page(results: dict[str, dict]) -> str:
    """docs/export_table.md."""
    table = {name: cells(outcome) for name, outcome in results.items()}
    fit = sum('yes' in row[:3] for row in table.values())
    files = sum('yes' in row[1:3] for row in table.values())
    lines = [
        '# Which models can be exported',
        '',
        '<!-- written by benchmarks/export_table.py: do not edit -->',
        '',
        'This table shows which configs of MMDetection and MMSegmentation can be exported. Each',
        'was tried with few layers, random weights and, if it uses a feature pyramid, a small',
        'CloFormer. "Module" means that the module for export, run in PyTorch on two padded',
        "images at once, returns the library's own predictions. If they differ, a comparison in",
        'float64 tells mistakes from rounding, which random weights amplify. "Any size and',
        'batch" and "one size" mean that the code of `tools/export.py` exported it, and that',
        'the file returns the same in onnxruntime at three sizes, for one and for two images.',
        'An empty cell means that this was not tried. The last column has the largest',
        'differences; those of maps and logits are relative to the largest value.',
        '',
        f'{len(results)} configs: {fit} have a module for export, {files} of them were exported.',
        '',
        '| config | module | any size and batch | one size | largest differences |',
        '| :-- | :-- | :-- | :-- | :-- |',
    ]
    for name, row in table.items():
        text = [f'`{name}`', *(cell.replace('|', '\\|') for cell in row)]
        lines.append('| ' + ' | '.join(text) + ' |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    torch.set_num_threads(1)
    MMLogger.get_instance('export_table', log_level='ERROR')  # otherwise it logs each parameter
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    wanted = sys.argv[1:]
    for name in CONFIGS:
        outcome = known.setdefault(name, {})
        files = any(part in name for part in wanted)
        if 'module' in outcome and not files:
            continue
        outcome['module'] = try_module(name)
        if files and 'error' not in outcome['module']:
            known[name] = dict(module=outcome['module'], **try_files(name))
        print(name, *cells(known[name]), sep=' | ', flush=True)
        write({n: known[n] for n in CONFIGS if n in known})


def write(results: dict[str, dict]) -> None:
    """Write the page and its JSON."""
    RESULTS.write_text(json.dumps(results, indent=0) + '\n')
    PAGE.write_text(page(results))


if __name__ == '__main__':
    assert backbones.BACKBONES
    main()
