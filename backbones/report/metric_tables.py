"""Metrics as tables and as a JSON file."""

import json
from pathlib import Path

from mmengine.runner import Runner

from backbones import atomic_write
from backbones.tables import table

COCO_COLUMNS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
COCO_TITLES = ('mAP', 'AP50', 'AP75', 'S', 'M', 'L')
SEG_COLUMNS = ('mIoU', 'mAcc', 'aAcc')


def save_metrics(
    runner: Runner, metrics: dict[str, float], config: str, checkpoint: str
) -> tuple[str, Path]:
    """Write `metrics.json`: config, checkpoint, metrics, class_iou, tables.

    Args:
        runner: the runner that has computed the metrics.
        metrics: the result of `Runner.test`.
        config, checkpoint: as typed.

    Returns:
        The metrics as tables, and the path of the file.
    """
    class_iou = getattr(runner.test_evaluator.metrics[0], 'class_iou', {})
    tables = metric_tables(metrics, class_iou)
    content = dict(
        config=config, checkpoint=checkpoint, metrics=metrics, class_iou=class_iou, tables=tables
    )
    path = Path(runner.work_dir, 'metrics.json')
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write.write(path, (json.dumps(content, indent=1, default=float) + '\n').encode())
    return tables, path


def metric_tables(metrics: dict[str, float], class_iou: dict[str, float]) -> str:
    """Format COCO's and ADE20K's metrics as plain tables.

    Args:
        metrics: the result of `Runner.test`: `coco/bbox_mAP` ... (0 to 1), `mIoU` ... (percent).
        class_iou: IoU per class in percent; may be empty.
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
