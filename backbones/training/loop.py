"""Loops whose random numbers depend only on the position in the run, not on resumes."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Sampler

from backbones.errors import listed
from backbones.openmmlab.compat import is_resuming
from backbones.openmmlab.config_tree import type_name
from backbones.openmmlab.registries import add_import
from backbones.training.seeded_dataset import Samples, SeededIndex, seed_all

BATCH = 'total_batch'  # key in the message hub, and thus in checkpoints
SAMPLES, MODEL = 0, 1  # streams of random numbers


def use_exact_loop(cfg: Config) -> list[str]:
    """Replace MMEngine's default loops in a config by `ExactEpochLoop` or `ExactIterLoop`.

    Returns:
        A notice if the config has a loop of another kind, which is kept.
    """
    loop = cfg.train_cfg
    default = EpochBasedTrainLoop if loop.get('by_epoch') else IterBasedTrainLoop
    name = type_name(loop) or default.__name__
    exact = {
        EpochBasedTrainLoop.__name__: ExactEpochLoop,
        IterBasedTrainLoop.__name__: ExactIterLoop,
    }.get(name)
    if name in (ExactEpochLoop.__name__, ExactIterLoop.__name__):  # in a dumped config
        return []
    if exact is None:
        return [f'{name}: after a resume, random numbers differ from those of an uninterrupted run']
    loop.pop('by_epoch', None)
    loop.type = exact.__name__
    if cfg.get('skip_unreadable'):
        loop.skip_unreadable = True
    add_import(cfg, __name__)
    return []


class ExactLoop:
    """Make a resumed training run draw the random numbers of an uninterrupted one.

    The numbers drawn for a sample (augmentations) depend on the seed, the process and the sample's
    position in the run, whatever the number of workers; those drawn in an iteration (drop path,
    dropout, sampled proposals) depend on the seed, the process and the iteration. So there is no
    state to save. An interrupted epoch is finished, and an evaluation due at the point of
    interruption runs, or runs again, because nothing records whether it was complete.

    Errors name the file that cannot be read.

    Not covered: transforms with their own generator; GPU operators that add in no fixed order;
    gradients accumulated over iterations.

    Args:
        skip_unreadable: continue without unreadable images and label maps; each is recorded in
            `unreadable.txt` in the work dir and replaced by the next sample.
        settings: settings of MMEngine's loop.
    """

    runner: Runner
    dataloader: DataLoader
    by_epoch: bool
    left = 0  # iterations of the first epoch that an earlier run completed

    def __init__(self, *args: Any, skip_unreadable: bool = False, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.skipped = Path(self.runner.work_dir, 'unreadable.txt') if skip_unreadable else None
        self.runner.register_hook(EvaluateWhatIsDue(), priority='LOWEST')

    def run(self) -> nn.Module:
        tell_other_batch(self.runner)
        self._number_samples()
        if self.runner.val_loop is not None:  # its metrics need all images
            dataset = self.runner.val_dataloader.dataset
            dataset.__getitems__ = Samples(dataset, judges=True)
        model = super().run()  # type: ignore[misc]
        if self.skipped and self.skipped.is_file():
            names = sorted(set(self.skipped.read_text().splitlines()))
            self.runner.logger.warning(
                f'{len(names)} unreadable files were skipped: {listed(names)}; see '
                f'{self.skipped} for all'
            )
        return model

    def _number_samples(self) -> None:
        batches = self.dataloader.batch_sampler
        if not hasattr(batches, 'sampler'):
            return
        numbered = NumberedSampler(batches.sampler, self.runner, by_epoch=self.by_epoch)
        if type(batches) is BatchSampler and hasattr(batches.sampler, 'skip'):
            # MMEngine's loop advances this sampler to the current position
            numbered.position = self.runner.iter * batches.batch_size
        batches.sampler = numbered
        dataset: Any = self.dataloader.dataset
        dataset.__getitems__ = Samples(dataset, self.skipped)

    def run_iter(self, *batch: Any) -> None:
        seed_all(self.runner.seed, get_rank(), MODEL, self.runner.iter)
        super().run_iter(*batch)  # type: ignore[misc]

    def evaluation_is_due(self) -> bool:
        """Return whether MMEngine's loop would have evaluated before the next iteration."""
        loop: Any = self
        if self.left or self.runner.val_loop is None:
            return False
        loop._decide_current_val_interval()
        at, last = (loop.epoch, loop.max_epochs) if self.by_epoch else (loop.iter, loop.max_iters)
        return at >= loop.val_begin and (at % loop.val_interval == 0 or at == last)


@LOOPS.register_module()
class ExactEpochLoop(ExactLoop, EpochBasedTrainLoop):
    """MMEngine's loop over epochs as an `ExactLoop`."""

    by_epoch = True

    def run(self) -> nn.Module:
        self.left = max(0, self.iter - self.epoch * len(self.dataloader))
        return super().run()

    def run_epoch(self) -> None:
        """Run an epoch; resume an interrupted one at its next iteration."""
        done, self.left = self.left, 0
        if done == 0:
            super().run_epoch()
            return
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for index, batch in enumerate(self._rest(done), done):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _rest(self, done: int) -> DataLoader:
        """Return the epoch's batches after the first `done`, which are not loaded."""
        loader = self.dataloader
        return DataLoader(
            loader.dataset,
            batch_sampler=list(itertools.islice(loader.batch_sampler, done, None)),
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            worker_init_fn=loader.worker_init_fn,
        )


@LOOPS.register_module()
class ExactIterLoop(ExactLoop, IterBasedTrainLoop):
    """MMEngine's loop over iterations as an `ExactLoop`."""

    by_epoch = False


class EvaluateWhatIsDue(Hook):
    """Run a due evaluation before the first iteration of a resumed run, after all other hooks."""

    def before_train(self, runner: Runner) -> None:
        if is_resuming(runner) and runner.iter and runner.train_loop.evaluation_is_due():
            runner.val_loop.run()


def tell_other_batch(runner: Runner) -> None:
    """Warn if the number of images per iteration has changed since the checkpoint."""
    hub, loader, processes = runner.message_hub, runner.train_dataloader, get_world_size()
    each = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', 0)
    before = hub.runtime_info.get(BATCH)
    if is_resuming(runner) and before not in (None, each * processes):
        runner.logger.warning(
            f'resumed with a different total batch: {before} images before, {each * processes} now '
            f'({processes} process(es) x {each}); the number of iterations per epoch changes, the '
            'learning rate does not'
        )
    hub.update_info(BATCH, each * processes)


class NumberedSampler:
    """Wrap a sampler so that each index carries the seed of its sample."""

    def __init__(self, sampler: Sampler, runner: Runner, *, by_epoch: bool) -> None:
        self.sampler = sampler
        self.runner = runner
        self.by_epoch = by_epoch
        self.position = 0  # samples drawn in this epoch, or in the run of an iteration-based loop

    def __iter__(self) -> Iterator[object]:
        if self.by_epoch:
            self.position = 0
        for index in self.sampler:
            key = (self.runner.seed, get_rank(), SAMPLES, self.runner.epoch, self.position)
            self.position += 1
            yield SeededIndex(index, key) if isinstance(index, int) else index

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> object:
        return getattr(self.sampler, name)
