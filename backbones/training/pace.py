"""Estimating how long a training run takes from a few of its iterations."""

import itertools
import time

import torch
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, Runner

from backbones.data.configs.schedules import Pace
from backbones.openmmlab.runner import QuietRunner
from backbones.training.devices import keep_freed_memory

WARM = 2  # iterations that do not count, because memory and kernels are chosen in them
TIMED = 8


def measure(cfg: Config) -> Pace:
    """Train a few iterations of a config, predict a few batches, and throw the model away."""
    keep_freed_memory()
    runner = QuietRunner.from_cfg(cfg)
    wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    loader = runner.build_dataloader(cfg.train_dataloader)
    runner.model.train()
    moments = []
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    for batch in itertools.islice(batches, WARM + TIMED):
        runner.model.train_step(batch, wrapper)
        moments.append(now())
    iteration = (moments[-1] - moments[WARM - 1]) / TIMED
    loader = runner.build_dataloader(cfg.val_dataloader)
    runner.model.eval()
    moments = []
    with torch.no_grad():
        for batch in itertools.islice(loader, 3):
            moments.append(now())
            runner.model.val_step(batch)
    moments.append(now())
    each = (moments[-1] - moments[0]) / (len(moments) - 1)
    return Pace(iteration, each * len(loader))


def forecast(runner: Runner, *, loading: float, step: float, predicting: float) -> str:
    """Say how long a run will take.

    Args:
        loading, step: seconds to load a batch for training, and to compute with it.
        predicting: seconds to load and predict a validation batch.
    """
    loop, val = runner.train_loop, runner.val_loop
    workers = runner.train_dataloader.num_workers
    iteration = max(step, loading / workers) if workers else step + loading
    pace = Pace(iteration, predicting * len(val.dataloader) if val else 0.0)
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    done, end = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
    evaluations = (end - done) // loop.val_interval if val else 0
    left = loop.max_iters - loop.iter
    said = f'{left} iterations of {iteration:.2g} s'
    if evaluations:
        said += f' and {evaluations} validations of {pace.evaluation:.2g} s'
    return f'the run takes about {duration(pace.seconds(left, evaluations))}: {said}'


def duration(seconds: float) -> str:
    """Format a time in minutes, or in hours if it is at least two."""
    if seconds >= 2 * 3600:
        return f'{seconds / 3600:.1f} hours'
    return f'{max(1, round(seconds / 60))} min'


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
