#!/usr/bin/env python
"""Try one model of each timm family under six methods: what fits, trains, predicts and exports.

The smallest model of each of timm's modules is tried with random weights, on a CPU, on images of
128 pixels, in a separate process with limits of time and memory. Writes docs/timm_table.json after
each family, and docs/timm_table.md. If arguments name other models, these are tried and printed
instead. `--again FAMILY` repeats families, and `--export` exports those that were not exported yet.
"""

import argparse
import copy
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import backbones  # before mmdet, whose modules import mmcv's operators

# isort: split
import torch
from any_config import batch
from export_table import in_float64
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger

from backbones import TimmPyramid
from backbones.adapted import pyramid as adapted_pyramid
from backbones.adapted.timm_models import build_trunk, family
from backbones.cli import list_backbones
from backbones.deploy import export
from backbones.deploy import source as sources
from backbones.deploy.compare import model_in_pytorch
from backbones.errors import UserError, first_line
from backbones.openmmlab.build import build_for_trial, image_side
from backbones.openmmlab.config import read_config
from backbones.openmmlab.config_tree import with_backbone
from backbones.openmmlab.replace_backbone import swap_backbone
from backbones.tables import table

DOCS = Path(__file__).parent.parent / 'docs'
PAGE, RESULTS = DOCS / 'timm_table.md', DOCS / 'timm_table.json'
SIZES = json.loads(list_backbones.SIZES.read_text())
METHODS = {
    'Mask R-CNN': 'mask_rcnn_cloformer_nano_digits',
    'RetinaNet': 'retinanet_cloformer_nano_small',
    'RTMDet': 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco',
    'UperNet': 'upernet_cloformer_nano_digits',
    'Mask2Former': 'mask2former_cloformer_nano_digits',
    'DINO': 'dino_cloformer_nano_digits',
}
EXPORTED = 'UperNet'
CPU_SECONDS, GIBIBYTES = 240, 12  # limits for a family
PATIENCE = 1200  # seconds after which an idle process is given up
NO_MEMORY = "can't allocate memory"  # part of PyTorch's message, a RuntimeError
OWN_SIZE = 'image_size=(HEIGHT, WIDTH)'  # part of the message that a model accepts one size


def remember_models() -> None:
    """Build a timm model once and copy it for each method, since building takes longest."""
    build, probed = TimmPyramid.build_trunk, adapted_pyramid.probe
    trunks: dict = {}
    shapes: dict = {}

    def build_trunk(self: TimmPyramid, drop_path_rate: float | None) -> torch.nn.Module:
        key = self.arch, self.image_size, drop_path_rate, torch.get_default_device()
        if key not in trunks:
            trunks[key] = build(self, drop_path_rate)
        return copy.deepcopy(trunks[key])

    def probe(model: TimmPyramid, size: Sequence[int]) -> tuple:
        key = model.arch, model.image_size, model.out_indices
        if key not in shapes:
            shapes[key] = probed(model, size)
        return shapes[key]

    TimmPyramid.build_trunk, adapted_pyramid.probe = build_trunk, probe


def smallest() -> dict[str, str]:
    """Return the smallest model of each family, by family."""
    found: dict[str, str] = {}
    for name in sorted(SIZES, key=lambda name: SIZES[name][0]):
        if SIZES[name][1] != 'none':
            found.setdefault(family(name), name)
    return dict(sorted(found.items()))


def without_old_backbones() -> dict[str, Config]:
    """Read the methods' configs, each with a backbone whose levels need not be measured."""
    return {m: swap_backbone(read_config(path), 'cloformer_xxs') for m, path in METHODS.items()}


def attempt(name: str, bases: dict[str, Config], exported: Config | None) -> dict:
    """Try a model under methods and as a file; a text is the reason of a failure, '' a success."""
    remember_models()
    torch.manual_seed(0)
    row, settings = backbones.variant(f'timm:{name}'), {}
    found: dict = dict(model=name, parameters=sum(p.numel() for p in row.model.parameters()))
    found['maps'] = [row.model.strides[i] for i, m in enumerate(row.model.makers)
                     if isinstance(m, torch.nn.Identity)]  # fmt: skip
    try:
        row.model(torch.zeros(2, 3, 128, 128))
    except UserError as error:
        found['size'] = str(error)
        if OWN_SIZE not in str(error):
            return found
        settings = dict(image_size=row.model.own_size())
    found['equal'] = reason(lambda: compare(name, settings))
    for method, base in bases.items():
        found[method] = reason(lambda: train(base, name, settings))  # noqa: B023
    if exported:
        found['export'] = reason(lambda: export_one(exported, name, settings))
    return found


def reason(action: Callable[[], None]) -> str:
    """Call a function; return why it failed, or ''."""
    try:
        action()
    except Exception as error:  # third-party code may raise anything
        return in_words(error)
    return ''


def in_words(error: Exception) -> str:
    """Return an error's message, in plain words if the memory limit was reached."""
    if NO_MEMORY in str(error):
        return f'takes more than {GIBIBYTES} GiB of memory, the limit here'
    return str(error) if isinstance(error, UserError) else first_line(error)


def compare(name: str, settings: dict) -> None:
    """Compare maps with those of timm's whole model, to the last bit."""
    size = settings.get('image_size') or (128, 128)
    ours = backbones.create(f'timm:{name}', **settings).eval()
    theirs = build_trunk(name, 3, None, settings.get('image_size'))
    state = theirs.state_dict()
    wanted = {name for name in ours.trunk.state_dict() if name not in ours.idle}
    ours.trunk.load_state_dict({name: state[name] for name in wanted}, strict=False)
    images = torch.randn(1, 3, *size)
    if ours.scale != 1:
        images = torch.randn(1, 3, *(round(s * ours.scale) for s in size))
    with torch.no_grad():
        maps = ours.trunk_maps(images)
        expected = theirs.eval().forward_intermediates(
            images, indices=ours.indices, norm=ours.plain, output_fmt='NCHW',
            intermediates_only=True,
        )  # fmt: skip
    if not all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True)):
        raise UserError('its maps are not those of timm')


def train(base: Config, name: str, settings: dict) -> None:
    """Swap the backbone, which predicts once, and compute losses and gradients once."""
    for key, value in dict(epoch=0, iter=0, max_epochs=12).items():  # normally set by a Runner
        MessageHub.get_current_instance().update_info(key, value)
    cfg = swap_backbone(base, f'timm:{name}', settings=settings)
    inner = with_backbone(cfg.model)
    inner.get('data_preprocessor', {}).pop('batch_augments', None)
    model = build_for_trial(cfg, inner).train()
    total, _ = model.parse_losses(model(**model.data_preprocessor(batch(cfg), True), mode='loss'))
    total.backward()
    parameters = {n: p for n, p in model.backbone.named_parameters() if p.requires_grad}
    idle = [n for n, p in parameters.items() if p.grad is None]
    if not total.isfinite() or idle:
        raise UserError(f'the loss is {total.item()}; without gradient: {idle[:3]}')


def export_one(base: Config, name: str, settings: dict) -> None:
    """Export the whole model, and compare it with PyTorch on two photographs."""
    cfg = swap_backbone(base, f'timm:{name}', settings=settings)
    model = build_for_trial(cfg, cfg.model).eval()
    side = max(settings.get('image_size') or [image_side(cfg.model)])
    source, target = source_of(cfg, model), export.Target((side, side))
    with tempfile.TemporaryDirectory() as folder:
        result = export.export(source, Path(folder, 'model.onnx'), target)
    if wrong := [d for d in result.differences if not d.agrees]:
        exact = in_float64(source_of(cfg, copy.deepcopy(model))).in_pytorch
        own = export.compared(source, lambda images: [exact(image) for image in images], target)
        rounding = max(d.found for d in own if d.what == wrong[0].what)
        raise UserError(
            f'{wrong[0].what}: {wrong[0].found:.1e}, allowed {wrong[0].allowed:.0e}; '
            f"PyTorch's own float32 differs from float64 by {rounding:.1e}"
        )


def source_of(cfg: Config, model: torch.nn.Module) -> sources.Source:
    """Return a segmentor as the exporter needs it."""
    from mmseg.structures import SegDataSample

    preprocessing = sources.preprocessing_of(cfg, dynamic=False)
    run = model_in_pytorch(model, SegDataSample, preprocessing.divisor)
    return sources.Source(model, preprocessing, run, metadata={}, images=[])


def in_process(name: str, bases: dict[str, Config], exported: Config | None) -> dict:
    """Call `attempt` in a process with limits; a process that exceeds one is reported."""
    context = multiprocessing.get_context('fork')
    ours, theirs = context.Pipe(duplex=False)

    def run() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (GIBIBYTES << 30,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS,) * 2)
        started = time.process_time()
        try:
            found = attempt(name, bases, exported)
        except UserError as error:
            found = dict(model=name, refused=str(error))
        except Exception as error:
            found = dict(model=name, failed=in_words(error))
        theirs.send(dict(found, seconds=round(time.process_time() - started, 1)))

    process = context.Process(target=run)
    process.start()
    theirs.close()
    try:
        found = ours.recv() if ours.poll(PATIENCE) else None
    except EOFError:  # the process was ended
        found = None
    process.kill()
    process.join()
    limits = f'not within {CPU_SECONDS} CPU seconds and {GIBIBYTES} GiB'
    return dict(model=name, failed=limits) if found is None else found


def page(results: dict[str, dict]) -> str:
    """docs/timm_table.md."""
    head = ['family', 'model', 'M', 'maps', 'bits', *METHODS, 'ONNX', 'size']
    notes: dict[str, int] = {}

    def cell(text: str | None) -> str:
        if not text:
            return '-' if text is None else 'yes'
        return f'[{notes.setdefault(text.replace("|", "/"), len(notes) + 1)}](#reasons)'

    rows = []
    for name, r in results.items():
        whole = r.get('refused') or r.get('failed')
        maps = ', '.join(map(str, r.get('maps', ()))) or 'made'
        million = f'{r["parameters"] / 1e6:.1f}' if 'parameters' in r else '-'
        size = 'any' if 'size' not in r else 'one'
        cells = [cell(whole or r.get(key)) for key in ('equal', *METHODS, 'export')]
        rows.append([name, f'`{r["model"]}`', million, maps, *cells, size])
    fit = {m: sum(r.get(m) == '' for r in results.values()) for m in METHODS}
    equal = sum(r.get('equal') == '' for r in results.values())
    exported = sum(r.get('export') == '' for r in results.values())
    tried = sum('export' in r for r in results.values())
    reasons = [f'{number}. {text}' for text, number in notes.items()] or ['None.']
    return '\n'.join(
        [
            '# Families of timm',
            '',
            '<!-- written by benchmarks/timm_table.py: do not edit -->',
            '',
            'This table shows with which methods the families of timm (modules of its code)',
            'work as backbones. The smallest model of each was tried under six methods, on a',
            'CPU, with random weights, on images of 128 pixels. "Yes" means that the swap fits,',
            'that the model predicts, and that a training step has a finite loss and a gradient',
            'in each trained parameter of the backbone. "Maps" are the strides at which the',
            'model has its own map; the other levels are [made](timm.md#which-maps-you-get).',
            '"Bits" says that all maps are equal to those of timm, and "ONNX" that UperNet was',
            'exported and agrees with PyTorch. "Size" is "one" for models that were built for',
            'one size with `image_size`. No model was fully trained.',
            '',
            f'{len(results)} of {len(smallest())} families tried; '
            + ', '.join(f'{m}: {n}' for m, n in fit.items())
            + '; equal',
            f'to the last bit: {equal}; exported: {exported} of {tried}.',
            '',
            table(head, rows, padded=False),
            '',
            '## Reasons',
            '',
            *reasons,
            '',
        ]
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('models', nargs='*', metavar='MODEL')
    parser.add_argument('--again', nargs='+', default=(), metavar='FAMILY')
    parser.add_argument('--export', action='store_true')
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=METHODS, help='of MODEL')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    MMLogger.get_instance('timm_table', log_level='ERROR')  # otherwise it logs each parameter
    bases = without_old_backbones()
    exported = bases[EXPORTED] if args.export else None
    for name in args.models:
        chosen = {method: bases[method] for method in args.methods}
        print(json.dumps(in_process(name, chosen, exported)), flush=True)
    if args.models:
        return
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results = {name: known[name] for name in smallest() if name in known}
    for name, model in sorted(smallest().items(), key=lambda item: SIZES[item[1]][0]):
        changed = name not in results or name in args.again
        if changed:
            results[name] = in_process(model, bases, None)
        if exported and 'export' not in results[name] and 'equal' in results[name]:
            file = in_process(model, {}, exported)  # a failure leaves the other columns as they are
            results[name]['export'] = file.get('export', file.get('failed'))
            changed = True
        if changed:
            print(name, json.dumps(results[name]), flush=True)
            text = json.dumps({n: results[n] for n in sorted(results)}, indent=1)
            RESULTS.write_text(text + '\n')  # after each, since all take an hour
            PAGE.write_text(page(json.loads(text)))


if __name__ == '__main__':
    main()
