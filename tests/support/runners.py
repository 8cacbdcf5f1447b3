"""A tiny training run under MMEngine's Runner, with which tests of hooks take milliseconds."""

import itertools
import random
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset

from backbones.training import checkpoints  # noqa: F401, registers the hook
from backbones.training.loop import use_exact_loop

SAMPLES = 8
COUNT = itertools.count()  # MMEngine shares state between runs of one name


class Numbers(Dataset):
    """Random numbers, drawn on access like augmentations."""

    def __getitem__(self, index: int) -> dict:
        drawn = random.random() + np.random.rand()
        return dict(x=torch.rand(3) + index, y=torch.rand(1) + drawn)

    def __len__(self) -> int:
        return SAMPLES


class Line(BaseModel):
    """A linear map after dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor, mode: str) -> dict | list:
        if mode == 'loss':
            return dict(loss=(self.map(nn.functional.dropout(x, 0.5)) - y).square().mean())
        return [dict(x=x)]


class Scores(BaseMetric):
    """Scores chosen by the test, one per evaluation: for one metric, or for several by name."""

    def __init__(self, scores: list[float] | list[dict[str, float]]) -> None:
        super().__init__()
        self.scores = iter(scores)

    def process(self, data_batch: object, data_samples: object) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict[str, float]:
        score = next(self.scores)
        return score if isinstance(score, dict) else {'acc': score}


def small_runner(
    work_dir: Path,
    *,
    iterations: int = 6,
    workers: int = 0,
    scores: list[float] | list[dict[str, float]] | None = None,
    **settings,
) -> Runner:
    """Train `Line` on `Numbers`, in batches of two; `checkpoint` are the checkpoint hook's options.

    With `scores`, evaluate after every second iteration.
    """
    sampler = settings.pop('sampler', 'InfiniteSampler')
    checkpoint = dict(type='DurableCheckpointHook', by_epoch=False, interval=2)
    checkpoint |= settings.pop('checkpoint', {})
    torch.manual_seed(0)
    dataset = Numbers()
    evaluation = {}
    if scores is not None:
        evaluation = dict(
            val_dataloader=DataLoader(dataset, sampler=DefaultSampler(dataset, shuffle=False)),
            val_cfg=dict(),
            val_evaluator=Evaluator(Scores(scores)),
        )
    settings = (
        dict(
            train_dataloader=dict(
                dataset=dataset,
                sampler=dict(type=sampler),
                batch_size=2,
                num_workers=workers,
                collate_fn=dict(type='default_collate'),
            ),
            train_cfg=dict(by_epoch=False, max_iters=iterations, val_interval=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            default_hooks=dict(checkpoint=checkpoint, logger=dict(type='LoggerHook', interval=1)),
            randomness=dict(seed=0),
            log_level='ERROR',
            experiment_name=f'small_{next(COUNT)}',
        )
        | settings
    )
    cfg = Config(dict(train_cfg=settings['train_cfg']))
    assert use_exact_loop(cfg) == []
    settings['train_cfg'] = cfg.train_cfg
    return Runner(Line(), str(work_dir), **evaluation, **settings)
