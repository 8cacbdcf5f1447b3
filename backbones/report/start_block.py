"""The block of lines with which a tool shows what it is about to do."""

import os
from collections import Counter
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from backbones.adapted.pyramid import AdaptedPyramid
from backbones.data.dataset import Dataset, Split
from backbones.errors import shown
from backbones.openmmlab.compat import is_resuming
from backbones.openmmlab.config_tree import innermost, with_backbone
from backbones.training.hooks import backbone_of, unwrapped

CLASSES = 10  # number of names shown


def start_block(runner: Runner, dataset: Dataset, notices: list[str]) -> str:
    """Describe the run about to start, as a block of lines."""
    return _block(start_facts(runner, dataset, notices))


def start_facts(runner: Runner, dataset: Dataset, notices: list[str]) -> dict[str, list[str]]:
    """Return task, data, model, weights, state and optimizer of a runner about to train."""
    model = unwrapped(runner)
    backbone = backbone_of(model)
    params = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    share = sum(p.numel() for p in backbone.parameters())
    loop = runner.train_loop
    per_gpu, world = runner.cfg.train_dataloader.batch_size, get_world_size()
    unit, total = (
        ('epochs', loop.max_epochs) if _by_epoch(runner) else ('iterations', loop.max_iters)
    )
    return {
        'task': [f'{type(model).__name__} ({runner.cfg.default_scope}), {total} {unit}'],
        **data_facts(runner.cfg, dataset, ('train', 'val') if runner.val_loop else ('train',)),
        'backbone': [_backbone(runner.cfg), *_of_another_library(backbone)],
        'parameters': [
            f'{params / 1e6:.2f} M, {share / 1e6:.2f} M of them in the backbone; '
            + ('all are trained' if trained == params else f'{trained / 1e6:.2f} M are trained')
        ],
        'weights': [_weights(backbone)],
        'state': [_state(runner)],
        'optimizer': optimizers(runner.optim_wrapper),
        'batch': [f'{per_gpu * world} = {world} process(es) x {per_gpu}'],
        'log': [str(runner.logger.log_file)],
        **({'notices': notices} if notices else {}),
    }


def optimizers(wrapper: OptimWrapper) -> list[str]:
    """Describe the optimizer, or each of several with the part of the model that it trains."""
    if isinstance(wrapper, OptimWrapperDict):
        return [f'{part}: {optimizers(one)[0]}' for part, one in wrapper.optim_wrappers.items()]
    rates = sorted({g.get('initial_lr', g['lr']) for g in wrapper.param_groups})
    return [f'{type(wrapper.optimizer).__name__}, lr {_span(rates)}']


def test_block(cfg: Config, dataset: Dataset, checkpoint: str) -> str:
    """Describe the evaluation about to start, as a block of lines."""
    return _block(
        {
            'model': [f'{cfg.model.get("module", cfg.model).type} ({cfg.default_scope})'],
            'backbone': [_backbone(cfg)],
            'weights': [checkpoint],
            **data_facts(cfg, dataset, ('test',)),
        }
    )


def data_facts(cfg: Config, dataset: Dataset, splits: Sequence[str]) -> dict[str, list[str]]:
    """Return the classes, and folder, annotations and counts of each dataset in the splits."""
    more = f' and {len(dataset.classes) - CLASSES} more' if len(dataset.classes) > CLASSES else ''
    names = ', '.join(map(str, dataset.classes[:CLASSES]))
    facts = {'classes': [f'{len(dataset.classes)}: {names}{more}']} if dataset.classes else {}
    for name in splits:
        lines = []
        for number, part in enumerate(innermost(cfg[f'{name}_dataloader'].dataset), 1):
            split = dataset.splits.get(name if number == 1 else f'{name} {number}')
            lines += _files(part) if split is None else _numbers(split)
        facts[name] = lines
    return facts


def _files(part: dict) -> list[str]:
    """Return a dataset's paths if it was not read, because it is large or of another kind."""
    root = part.get('data_root') or ''
    paths = [*(part.get('data_prefix') or {}).values(), part.get('ann_file')]
    return [f'{os.path.join(root, path)} ({part["type"]})' for path in paths if path]


def _numbers(split: Split) -> list[str]:
    images, annotations = (_left_out(split.left_out[key]) for key in ('images', 'annotations'))
    lines = [f'{split.images}: {len(split.paths())} images{images}']
    if split.pairs:
        return [*lines, f'{split.source}: {len(split.pairs)} label maps']
    number = len(split.records.get('annotations', []))
    return [*lines, f'{split.source}: {number} annotations{annotations}']


def _left_out(reasons: Counter) -> str:
    if not reasons:
        return ''
    why = ', '.join(f'{number} {reason}' for reason, number in reasons.most_common())
    return f', {reasons.total()} left out: {why}'


def _backbone(cfg: Config) -> str:
    settings = with_backbone(cfg.model).backbone
    arch = settings.get('arch', '')
    return f'{settings.type} {arch if isinstance(arch, str) else "own arch"}'


def _of_another_library(backbone: nn.Module) -> list[str]:
    """Describe for which images another library's model was made, and its weights' licence."""
    if not isinstance(backbone, AdaptedPyramid):
        return []
    height, width = backbone.own_size()
    licence = backbone.licence() or 'not noted'
    return [f'made for {height} x {width} pixels; licence of its weights: {licence}']


def _weights(backbone: nn.Module) -> str:
    if not hasattr(backbone, 'loaded'):
        return 'loaded by the backbone class'
    return str(backbone.loaded or 'from scratch')


def _by_epoch(runner: Runner) -> bool:
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def _state(runner: Runner) -> str:
    if is_resuming(runner) and runner.iter:
        at = f'epoch {runner.epoch}, ' if _by_epoch(runner) else ''
        return f'resumed at {at}iteration {runner.iter} from {runner.cfg.load_from}'
    if runner.cfg.get('load_from'):
        part = '' if runner.cfg.get('load_backbone', True) else ', without its backbone'
        return f'fine-tuned from {runner.cfg.load_from}{part}'
    return 'fresh'


def _span(values: list[float]) -> str:
    return f'{values[0]:g}' if len(values) == 1 else f'{values[0]:g} to {values[-1]:g}'


def _block(facts: dict[str, list[str]]) -> str:
    width = max(map(len, facts))
    rows = [(key if i == 0 else '', line) for key, lines in facts.items()
            for i, line in enumerate(lines)]  # fmt: skip
    return '\n'.join(
        ['-' * 80, *(f'{key:<{width}}  {shown(line)}' for key, line in rows), '-' * 80]
    )
