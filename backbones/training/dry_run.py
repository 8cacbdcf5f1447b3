"""Running one batch through everything a training run uses, so that nothing fails hours later."""

import contextlib
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import all_gather_object, barrier, get_world_size, is_main_process
from mmengine.evaluator import BaseMetric, DumpResults, Evaluator
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, autocast
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from backbones.errors import UserError, did_you_mean, first_line, listed
from backbones.openmmlab import console
from backbones.openmmlab.registries import COCO_METRICS, IOU_METRICS
from backbones.openmmlab.remedies import remedy
from backbones.training import pace, strides
from backbones.training.cpu_amp import KEY, CpuAmpOptimWrapper, decide
from backbones.training.hooks import losses_of, unwrapped
from backbones.training.seeded_dataset import Samples
from backbones.training.snapshot import own_transforms, silent, unchanged, untouched

# metrics defined for any set of images; a failure of the others on a few images means nothing
OF_ANY_IMAGES = COCO_METRICS + IOU_METRICS


class DryRun(Hook):
    """Try both pipelines, the loss, prediction and metrics on one batch before training.

    The images are spread over the datasets. All processes do the same, so that a failure in one
    occurs in all and none waits for another. It leaves no trace: random states, buffers such
    as BatchNorm's, metrics and the message hub are restored, transforms are tried on copies, and
    no data loader is started.

    Args:
        skip_unreadable: see `ExactLoop`.

    Raises:
        UserError: lists all failures, one line per part; the log file has the tracebacks.
    """

    def __init__(self, *, skip_unreadable: bool = False) -> None:
        self.skip_unreadable = skip_unreadable

    def before_train(self, runner: Runner) -> None:
        start = time.perf_counter()
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, CpuAmpOptimWrapper):
            wrapper.before_trial(runner)
        trial = Trial(runner, skip_unreadable=self.skip_unreadable)
        with untouched(runner), silent(runner):
            trial.run()
        for trace in trial.tracebacks:
            console.to_the_file(runner.logger, trace)
        faults = list(dict.fromkeys(f for each in all_gather_object(trial.faults) for f in each))
        if faults:
            _stop(
                'the dry run of one batch before the start failed (tracebacks are in '
                f'{runner.logger.log_file}; --no-dry-run starts without it):\n  '
                + '\n  '.join(faults)
            )
        for notice in trial.notices:
            runner.logger.warning(notice)
        if isinstance(wrapper, CpuAmpOptimWrapper):
            wrapper.after_trial(runner, trial.why)
        seconds = time.perf_counter() - start
        runner.logger.info(f'dry run: {", ".join(trial.tried)} passed ({seconds:.1f} s)')
        if trial.step and isinstance(runner.train_loop, EpochBasedTrainLoop | IterBasedTrainLoop):
            runner.logger.info(
                pace.forecast(
                    runner,
                    loading=trial.loading['train pipeline'],
                    step=trial.step,
                    predicting=trial.loading.get('validation pipeline', 0.0) + trial.predicting,
                )
            )


def _stop(message: str) -> None:
    """Raise an error in a single process; if there are several, let one print it and end all."""
    if get_world_size() == 1:
        raise UserError(message)
    if is_main_process():
        print(f'error: {message}', file=sys.stderr, flush=True)
    barrier()  # launchers kill the others once one has ended
    raise SystemExit(1)


class Trial:
    """Run the parts one by one; skip a part whose input failed.

    Attributes:
        faults, notices: what failed and what could not be tried, one line each.
        tracebacks: the faults' tracebacks.
        tried: names of the parts that were tried.
        loading: seconds to load a batch, by part.
        step, predicting: seconds to compute with a batch in training and validation; 0 if unknown.
        why: the reason for the precision, on a CPU with --amp.
    """

    def __init__(self, runner: Runner, *, skip_unreadable: bool) -> None:
        self.runner = runner
        self.skipped = Path(os.devnull) if skip_unreadable else None
        self.faults: list[str] = []
        self.notices: list[str] = []
        self.tracebacks: list[str] = []
        self.tried: list[str] = []
        self.loading: dict[str, float] = {}
        self.step = self.predicting = 0.0
        self.why = ''

    def run(self) -> None:
        runner = self.runner
        train = self._batch('train pipeline', runner.train_dataloader)
        val = None
        if runner.val_loop is not None:
            val = self._batch('validation pipeline', runner.val_dataloader, judges=True)
        # a disk may fail in only one process
        loaded = np.all(all_gather_object([train is not None, val is not None]), axis=0)
        if train is not None and loaded[0]:
            with self._part('model loss'):
                self._check_loss(train)
            if not self.faults and isinstance(runner.optim_wrapper, CpuAmpOptimWrapper):
                self._choose_precision(train)
            if not self.faults and _is_single(runner.optim_wrapper):
                with self._part('model loss'):
                    self.step = self._time_step(train, runner.optim_wrapper)
        if val is not None and loaded[1]:
            with self._part('predict'):
                self._check_predictions(val)

    @contextlib.contextmanager
    def _part(self, name: str, file: Callable[[], str] = str) -> Iterator[None]:
        """Record a failure and continue; `file` names the file that was being read."""
        self.tried += [] if name in self.tried else [name]
        try:
            yield
        except Exception as error:  # a part may raise anything
            said = str(error) if isinstance(error, UserError) else f'{file()}{first_line(error)}'
            self.faults.append(f'{name}: {said}{remedy(error)}')
            self.tracebacks.append(f'{name}\n{traceback.format_exc()}')

    def _batch(self, name: str, loader: DataLoader, *, judges: bool = False) -> object:
        """Return a batch of images spread over the dataset; None after recording a fault."""
        dataset = own_transforms(loader.dataset)
        samples = Samples(dataset, None if judges else self.skipped, judges=judges)
        number = len(loader.dataset)
        size = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', 1)
        batch: list = []
        before, index = len(self.faults), 0
        start = time.perf_counter()
        with self._part(name, lambda: file_of(dataset, index)):
            for index in [i * number // size for i in range(size)]:
                batch += samples([index])
        if len(self.faults) > before:
            return None
        self.loading[name] = time.perf_counter() - start
        with self._part(name):
            return loader.collate_fn(batch)
        return None

    def _check_loss(self, batch: object) -> None:
        model, wrapper = self.runner.model, self.runner.optim_wrapper
        inner = unwrapped(self.runner)
        model.train()
        mixed = wrapper.optim_context(model) if _is_single(wrapper) else None
        with torch.no_grad(), mixed or contextlib.nullcontext(), strides.watched(inner) as wrong:
            losses = losses_of(model, batch)
        if wrong:
            raise UserError('; '.join(wrong))
        _, values = inner.parse_losses(losses)
        bad = [f'{k} is {float(v)}' for k, v in values.items()
               if 'loss' in k and not math.isfinite(v)]  # fmt: skip
        if bad:
            raise UserError(f'NaN or infinite before the first step: {", ".join(bad)}')

    def _time_step(self, batch: object, wrapper: OptimWrapper) -> float:
        """Time a second forward and backward pass, in seconds; 0 for shards.

        No process waits for another in it.
        """
        model = self.runner.model
        inner = model.module if isinstance(model, DistributedDataParallel) else model
        if is_model_wrapper(inner):
            return 0.0
        moments = []
        for _ in range(2):
            moments.append(pace.now())
            with wrapper.optim_context(inner):
                losses = losses_of(inner, batch)
            inner.parse_losses(losses)[0].backward()
        moments.append(pace.now())
        model.zero_grad()
        return moments[2] - moments[1]

    def _choose_precision(self, batch: object) -> None:
        """Decide whether to train in bfloat16 on a CPU; a resumed run keeps its decision."""
        hub, model, inner = self.runner.message_hub, self.runner.model, unwrapped(self.runner)
        if hub.runtime_info.get(KEY) is None:
            data = inner.data_preprocessor(batch, True)

            def loss(images: torch.Tensor) -> torch.Tensor:
                return inner.parse_losses(model(**{**data, 'inputs': images}, mode='loss'))[0]

            self.runner.optim_wrapper.bfloat16, self.why = decide(inner, data['inputs'], loss)
            model.zero_grad()

    def _check_predictions(self, batch: object) -> None:
        self.runner.model.eval()
        loop = self.runner.val_loop
        start = pace.now()
        with torch.no_grad(), autocast(enabled=getattr(loop, 'fp16', False)):
            outputs = self.runner.model.val_step(batch)
        self.predicting = pace.now() - start
        keys: list[str] = []
        complete = True
        for metric in loop.evaluator.metrics:
            found = None
            with self._part(f'evaluator {type(metric).__name__}'), unchanged(metric):
                found = self._evaluate(metric, outputs, batch)
            complete = complete and bool(found)
            keys += found or ()
        if complete:
            self._check_watched(keys)

    def _evaluate(self, metric: BaseMetric, outputs: list, batch: object) -> dict | None:
        """Compute metrics on one batch; return None where they cannot be determined."""
        name = type(metric).__name__
        if isinstance(metric, DumpResults) or getattr(metric, 'format_only', False):
            return None  # it would write files
        for attribute in ('outfile_prefix', 'output_dir'):
            if getattr(metric, attribute, None):
                setattr(metric, attribute, None)
        failed: list[Exception] = []
        compute = metric.compute_metrics

        def caught(results: list) -> dict:
            try:  # the other processes wait for this result
                return compute(results)
            except Exception as error:
                failed.append(error)
                return {}

        metric.compute_metrics = caught
        evaluator = Evaluator([metric])
        evaluator.process(data_samples=outputs, data_batch=batch)
        if name in OF_ANY_IMAGES and 'img_ids' in vars(metric):  # otherwise COCO judges all images
            metric.img_ids = [entry[0]['img_id'] for entry in metric.results]
        found = evaluator.evaluate(len(metric.results))
        if failed and name in OF_ANY_IMAGES:
            raise failed[0]
        if failed:
            self.notices.append(
                f'dry run: {name} could not be tried, possibly because of too few images: '
                f'{first_line(failed[0])}'
            )
        return found or None

    def _check_watched(self, keys: list[str]) -> None:
        """Check that the metrics used for the best checkpoint or early stopping exist."""
        for hook in self.runner.hooks:
            names: list[str] = []
            if isinstance(hook, CheckpointHook) and hook.save_best:
                names = hook.key_indicators
            elif isinstance(hook, EarlyStoppingHook):
                names = [hook.monitor]
            for name in names:
                if name != 'auto' and name not in keys:
                    with self._part('evaluator'):
                        raise UserError(
                            f'{type(hook).__name__} watches {name!r}, but the metrics are '
                            f'{listed(keys)}{did_you_mean(name, keys)}'
                        )


def file_of(dataset: object, index: int) -> str:
    """Return the sample's image path for an error message; '' for other kinds of datasets."""
    try:
        return f'{dataset.get_data_info(index)["img_path"]}: '  # type: ignore[attr-defined]
    except Exception:  # the sample's own error is reported
        return ''


def _is_single(wrapper: object) -> bool:
    """Return whether one optimizer trains all of the model, not several in a dict."""
    return isinstance(wrapper, OptimWrapper) and not isinstance(wrapper, OptimWrapperDict)
