"""What the tools say: the block at the start of a training, and the tables of metrics."""

import json
from pathlib import Path

from mmengine.dist import get_world_size
from mmengine.runner import Runner
from torch import nn

from backbones.commands.tables import table
from backbones.openmmlab import durable
from backbones.openmmlab.hooks import unwrapped

COCO_COLUMNS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
COCO_TITLES = ('mAP', 'AP50', 'AP75', 'S', 'M', 'L')
SEG_COLUMNS = ('mIoU', 'mAcc', 'aAcc')


def start_block(runner: Runner, notices: list[str]) -> str:
    """What is about to be trained, as a block of lines."""
    return _block(start_facts(runner, notices))


def start_facts(runner: Runner, notices: list[str]) -> dict[str, str]:
    """Task, model, weights, state, data and optimiser of a runner about to train, as text."""
    model = unwrapped(runner)
    backbone = model.backbone
    settings = runner.cfg.model.backbone
    arch = settings.get('arch', '')
    params = sum(p.numel() for p in model.parameters())
    share = sum(p.numel() for p in backbone.parameters())
    loader, loop = runner.train_dataloader, runner.train_loop
    rates = sorted({g.get('initial_lr', g['lr']) for g in runner.optim_wrapper.param_groups})
    per_gpu, world = runner.cfg.train_dataloader.batch_size, get_world_size()
    images = f'{len(loader.dataset)} to train'
    if runner.val_loop is not None:
        images += f', {len(runner.val_dataloader.dataset)} to evaluate'
    unit, total = (
        ('epochs', loop.max_epochs) if _by_epoch(runner) else ('iterations', loop.max_iters)
    )
    return {
        'task': f'{type(model).__name__} ({runner.cfg.default_scope}), {total} {unit}',
        'backbone': f'{type(backbone).__name__} {arch if isinstance(arch, str) else "own arch"}',
        'parameters': f'{params / 1e6:.2f} M, of which the backbone {share / 1e6:.2f} M',
        'weights': _weights(backbone),
        'state': _state(runner),
        'data': f'{images} ({runner.cfg.train_dataloader.dataset.type})',
        'optimiser': f'{type(runner.optim_wrapper.optimizer).__name__}, lr {_span(rates)}',
        'batch': f'{per_gpu * world} = {world} process(es) x {per_gpu}',
        **({'notices': '; '.join(notices)} if notices else {}),
    }


def _weights(backbone: nn.Module) -> str:
    if not hasattr(backbone, 'loaded'):
        return 'as the backbone class loads them'
    return str(backbone.loaded or 'from scratch')


def _by_epoch(runner: Runner) -> bool:
    return type(runner.train_loop).__name__.startswith('Epoch')


def _state(runner: Runner) -> str:
    if runner._resume and runner.iter:
        at = f'epoch {runner.epoch}, ' if _by_epoch(runner) else ''
        return f'resumed at {at}iteration {runner.iter} from {runner.cfg.load_from}'
    if runner.cfg.get('load_from'):
        return f'fine-tuned from {runner.cfg.load_from}'
    return 'fresh'


def _span(values: list[float]) -> str:
    return f'{values[0]:g}' if len(values) == 1 else f'{values[0]:g} to {values[-1]:g}'


def _block(facts: dict[str, str]) -> str:
    width = max(map(len, facts))
    return '\n'.join(['-' * 80, *(f'{k:<{width}}  {v}' for k, v in facts.items()), '-' * 80])


def metric_tables(metrics: dict[str, float], class_iou: dict[str, float]) -> str:
    """Plain tables of COCO's and ADE20K's metrics.

    Args:
        metrics: what `Runner.test` returns: `coco/bbox_mAP` ... (0 to 1), `mIoU` ... (percent).
        class_iou: IoU per class in percent, may be empty.
    """
    tables = []
    kinds = [k for k in ('bbox', 'segm') if f'coco/{k}_mAP' in metrics]
    if kinds:
        rows = [[k, *(f'{metrics[f"coco/{k}_{c}"]:.3f}' for c in COCO_COLUMNS)] for k in kinds]
        tables.append(table(['', *COCO_TITLES], rows))
    if 'mIoU' in metrics:
        tables.append(table(SEG_COLUMNS, [[f'{metrics[c]:.2f}' for c in SEG_COLUMNS]]))
    if class_iou:
        tables.append(table(['class', 'IoU'], [[n, f'{v:.2f}'] for n, v in class_iou.items()]))
    return '\n\n'.join(tables)


def save_metrics(path: Path, **content: object) -> None:
    """Write metrics as JSON: config, checkpoint, metrics, class_iou, tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, (json.dumps(content, indent=1, default=float) + '\n').encode())
