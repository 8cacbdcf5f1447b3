"""Writing the results page after training, or while testing a checkpoint."""

from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import BaseLoop, Runner

from backbones.checkpoints import load_model
from backbones.report.page import write_page
from backbones.report.scores import Scores
from backbones.report.weaknesses import limits
from backbones.training.hooks import unwrapped


def after_training(runner: Runner) -> str:
    """Evaluate the best checkpoint again, image by image, and write the page.

    All processes must call this. The model's weights are replaced by the checkpoint's.

    Returns:
        What to print: the page, and what limits the model; '' in all processes except the first.
    """
    if runner.val_loop is None:
        return _write(runner, None, {}, Scores([]), 'The config has no validation.')
    best = _best(runner)
    if best is not None:
        load_model(unwrapped(runner), str(best))
    loop = runner.val_loop
    scores = Scores(loop.dataloader.dataset.metainfo['classes'])
    keep_classes(loop.evaluator)
    runner.model.eval()
    with torch.no_grad():
        for batch in loop.dataloader:
            outputs = runner.model.val_step(batch)
            loop.evaluator.process(data_samples=outputs, data_batch=batch)
            scores.add(outputs)
    metrics = loop.evaluator.evaluate(len(loop.dataloader.dataset))
    weights = f'the weights of {best.name}' if best else 'the last weights'
    return _write(runner, loop, metrics, scores, f'Validation images with {weights}.')


def _best(runner: Runner) -> Path | None:
    """Return the best checkpoint, or the last; both hold EMA's averages if there are any."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    folder = Path(str(hooks[0].out_dir if hooks else runner.work_dir))
    found = [
        *sorted(folder.glob('best.pth')),
        *sorted(folder.glob('best_*.pth')),
        folder / 'last.pth',
    ]
    return next((path for path in found if path.is_file()), None)


class WriteResults(Hook):
    """Collect the results of a test; `write` writes the page, after the metrics.

    Args:
        checkpoint: the tested checkpoint, as named on the page.
        classwise: measure each class, which the page shows.

    Attributes:
        limits: what limits the model, see `backbones.report.weaknesses`; known after the test.
    """

    priority = 'NORMAL'  # before the logger: metrics by class are for the page only

    def __init__(self, checkpoint: str, *, classwise: bool) -> None:
        self.checkpoint, self.classwise = checkpoint, classwise

    def before_test_epoch(self, runner: Runner) -> None:
        self.scores = Scores(runner.test_loop.dataloader.dataset.metainfo['classes'])
        if self.classwise:
            keep_classes(runner.test_loop.evaluator)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        self.scores.add(outputs or ())

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self.metrics = metrics or {}
        self.class_ap = take_classes(self.metrics, self.scores.classes)
        self.scores.gather()
        self.limits = limits(self.scores, self.metrics, self.class_ap)

    def write(self, runner: Runner) -> Path:
        """Write the page, in the first process only."""
        return write_page(
            Path(runner.work_dir),
            about=f'Test images with the weights of {self.checkpoint}.',
            metrics=self.metrics,
            scores=self.scores,
            class_ap=self.class_ap,
            meta=runner.test_loop.dataloader.dataset.metainfo,
            limits=self.limits,
        )


def keep_classes(evaluator: Evaluator) -> None:
    """Make COCO metrics also report the average precision of each class."""
    for metric in evaluator.metrics:
        if hasattr(metric, 'classwise'):
            metric.classwise = True


def take_classes(metrics: dict[str, float], classes: list[str]) -> dict[str, float]:
    """Remove the average precision of each class from the metrics and return it."""
    return {name: metrics.pop(key) for name in classes for key in list(metrics)
            if key.partition('/')[2] == f'{name}_precision'}  # fmt: skip


def _write(
    runner: Runner, loop: BaseLoop | None, metrics: dict[str, float], scores: Scores, about: str
) -> str:
    scores.gather()
    class_ap = take_classes(metrics, scores.classes)
    if not is_main_process():
        return ''
    found = limits(scores, metrics, class_ap)
    page = write_page(
        Path(runner.work_dir),
        about=about,
        metrics=metrics,
        scores=scores,
        class_ap=class_ap,
        meta=loop.dataloader.dataset.metainfo if loop else {},
        limits=found,
    )
    return '\n'.join([*found, f'results page: {page}'])
