"""Random numbers that depend on where a training is, not on how it got there."""

import functools
import itertools
import random
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

SAMPLES, MODEL = 0, 1  # streams of random numbers


def seed_all(*key: int) -> None:
    """Seed Python, NumPy and PyTorch, GPUs included, for one place in a training."""
    first, second, third = np.random.SeedSequence(key).generate_state(3).tolist()
    random.seed(first)
    np.random.seed(second)
    torch.manual_seed(third)


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make a resumed training draw what the uninterrupted one would have drawn.

    What is drawn for a sample (augmentations) depends on the seed, the process, and the sample's
    position in the training, however many workers load; what is drawn in an iteration (drop path,
    dropout, sampled proposals) on the seed, the process, and the iteration. So there is no state to
    save. An epoch that was left in the middle is finished, and an evaluation that is due where the
    training was left is made, or made again: nothing tells whether it was complete.

    Not covered: transforms with a generator of their own; operators of GPUs that add in no fixed
    order; gradients accumulated over iterations.
    """

    priority = 'LOWEST'  # in a resumed training it evaluates before the first iteration

    def before_train(self, runner: Runner) -> None:
        loop, loader = runner.train_loop, runner.train_dataloader
        batches = loader.batch_sampler
        if hasattr(batches, 'sampler'):
            numbered = NumberedSampler(batches.sampler, runner)
            if type(batches) is BatchSampler and hasattr(batches.sampler, 'skip'):
                # MMEngine's loop moves this sampler to where the training is
                numbered.position = runner.iter * batches.batch_size
            batches.sampler = numbered
            loader.dataset.__getitems__ = SeededItems(loader.dataset)
        if not (runner._resume and runner.iter):
            return
        done = 0
        if isinstance(loop, EpochBasedTrainLoop):
            done = runner.iter - runner.epoch * len(loader)
        if done > 0:
            loop.run_epoch = functools.partial(finish_epoch, loop, done)
        elif evaluation_is_due(runner):
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        seed_all(runner.seed, get_rank(), MODEL, runner.iter)


class NumberedSampler:
    """A sampler whose indices know the seed of their sample; in all else the sampler itself."""

    def __init__(self, sampler: Sampler, runner: Runner) -> None:
        self.sampler = sampler
        self.runner = runner
        self.position = 0  # samples drawn in this epoch, or by an iteration-based loop

    def __iter__(self) -> Iterator[object]:
        if isinstance(self.runner.train_loop, EpochBasedTrainLoop):
            self.position = 0
        for index in self.sampler:
            key = (self.runner.seed, get_rank(), SAMPLES, self.runner.epoch, self.position)
            self.position += 1
            yield SeededIndex(index, key) if isinstance(index, int) else index

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> object:
        return getattr(self.sampler, name)


class SeededIndex(int):
    """The index of a sample; `key` seeds what is drawn for it."""

    key: tuple[int, ...]

    def __new__(cls, index: int, key: tuple[int, ...] = ()) -> 'SeededIndex':
        made = super().__new__(cls, index)
        made.key = key
        return made


class SeededItems:
    """A dataset's `__getitems__`: PyTorch's loaders ask it, in whichever process, for a batch."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __call__(self, indices: list) -> list:
        return [self._item(index) for index in indices]

    def _item(self, index: object) -> object:
        if isinstance(index, SeededIndex):
            seed_all(*index.key)
            index = int(index)
        return self.dataset[index]


def finish_epoch(loop: EpochBasedTrainLoop, done: int) -> None:
    """Run an epoch from its iteration `done` on; the loop's next epochs are its own."""
    del loop.run_epoch
    loop.runner.call_hook('before_train_epoch')
    loop.runner.model.train()
    loader = loop.dataloader
    rest = DataLoader(
        loader.dataset,
        batch_sampler=list(itertools.islice(loader.batch_sampler, done, None)),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        worker_init_fn=loader.worker_init_fn,
    )
    for index, batch in enumerate(rest, done):
        loop.run_iter(index, batch)
    loop.runner.call_hook('after_train_epoch')
    loop._epoch += 1


def evaluation_is_due(runner: Runner) -> bool:
    """Whether the loop would have evaluated between the last iteration and the next."""
    loop = runner.train_loop
    if runner.val_loop is None:
        return False
    loop._decide_current_val_interval()
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    at, last = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
    return at >= loop.val_begin and (at % loop.val_interval == 0 or at == last)
