"""What the tools say: the block at the start of a training, and the tables of metrics."""

import json
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, PixelData
from prettytable import PrettyTable, TableStyle
from torch import nn

COCO_COLUMNS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
COCO_TITLES = ('mAP', 'AP50', 'AP75', 'S', 'M', 'L')
READABLE = 384  # pixels; the least long side of a picture
SEG_COLUMNS = ('mIoU', 'mAcc', 'aAcc')


class StartReport(Hook):
    """Print, once before the first iteration, what is about to be trained."""

    def __init__(self, notices: list[str]) -> None:
        self.notices = notices

    def before_train(self, runner: Runner) -> None:
        if is_main_process():
            runner.logger.info('\n' + _block(start_facts(runner, self.notices)))


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
        'weights': getattr(backbone, 'loaded', 'as the backbone class loads them'),
        'state': _state(runner),
        'data': f'{images} ({runner.cfg.train_dataloader.dataset.type})',
        'optimiser': f'{type(runner.optim_wrapper.optimizer).__name__}, lr {_span(rates)}',
        'batch': f'{per_gpu * world} = {world} process(es) x {per_gpu}',
        **({'notices': '; '.join(notices)} if notices else {}),
    }


def _by_epoch(runner: Runner) -> bool:
    return type(runner.train_loop).__name__.startswith('Epoch')


def _state(runner: Runner) -> str:
    if runner._resume and runner.iter:
        at = f'epoch {runner.epoch}, ' if _by_epoch(runner) else ''
        return f'resumed at {at}iteration {runner.iter}'
    if runner.cfg.get('load_from') and not runner._resume:
        return f'fine-tuned from {runner.cfg.load_from}'
    return (
        'fresh' if not runner._resume else f'fresh (no checkpoint in {runner.work_dir} to resume)'
    )


def _span(values: list[float]) -> str:
    return f'{values[0]:g}' if len(values) == 1 else f'{values[0]:g} to {values[-1]:g}'


def _block(facts: dict[str, str]) -> str:
    width = max(map(len, facts))
    return '\n'.join(['-' * 80, *(f'{k:<{width}}  {v}' for k, v in facts.items()), '-' * 80])


def unwrapped(runner: Runner) -> nn.Module:
    """The runner's model without wrappers of processes or of test-time augmentation."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model.module if isinstance(model, BaseTTAModel) else model


class SavePictures(Hook):
    """Write a picture of every tested image, ground truth beside prediction, to one folder."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        for sample in outputs or ():
            name = Path(sample.img_path).with_suffix('.png').name
            image = mmcv.imread(sample.img_path, channel_order='rgb')
            factor = -(-READABLE // max(image.shape[:2]))
            image, sample = enlarge(image, sample.cpu(), factor)
            runner.visualizer.add_datasample(
                name, image, data_sample=sample, show=False, out_file=str(self.folder / name)
            )


def enlarge(image: np.ndarray, sample: BaseDataElement, factor: int) -> tuple:
    """Scale a tested image with its boxes, masks and label maps by a whole number.

    Labels on pictures of thumbnails could not be read.
    """
    if factor == 1:
        return image, sample
    image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    sample = sample.clone()
    for field in ('gt_instances', 'pred_instances'):
        found = getattr(sample, field, None)
        if found is not None and 'bboxes' in found:
            found = found.clone()  # the clone of a sample shares its parts
            found.bboxes = found.bboxes * factor
            if 'masks' in found:
                masks = found.masks
                masks = masks.to_ndarray() if hasattr(masks, 'to_ndarray') else np.asarray(masks)
                found.masks = masks.repeat(factor, 1).repeat(factor, 2)
            setattr(sample, field, found)
    for field in ('gt_sem_seg', 'pred_sem_seg'):
        found = getattr(sample, field, None)
        if found is not None:
            larger = found.data.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
            setattr(sample, field, PixelData(data=larger))
    return image, sample


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
        tables.append(_table(['', *COCO_TITLES], rows))
    if 'mIoU' in metrics:
        tables.append(_table(SEG_COLUMNS, [[f'{metrics[c]:.2f}' for c in SEG_COLUMNS]]))
    if class_iou:
        tables.append(_table(['class', 'IoU'], [[n, f'{v:.2f}'] for n, v in class_iou.items()]))
    return '\n\n'.join(tables)


def save_metrics(path: Path, **content: object) -> None:
    """Write metrics as JSON: config, checkpoint, metrics, class_iou, tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, default=float) + '\n')


def _table(header: list[str], rows: list[list[str]]) -> str:
    table = PrettyTable(header)
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'r'
    table.align[header[0]] = 'l'
    table.add_rows(rows)
    return table.get_string()
