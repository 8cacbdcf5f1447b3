"""Loops whose random numbers depend on where a training run is, not on how it got there."""

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
from backbones.openmmlab.registries import add_import
from backbones.training.seeded_dataset import Samples, SeededIndex, seed_all

BATCH = 'total_batch'  # in the message hub, and so in checkpoints
SAMPLES, MODEL = 0, 1  # streams of random numbers


def use_exact_loop(cfg: Config) -> list[str]:
    """Let a config train by `ExactEpochLoop` or `ExactIterLoop` instead of MMEngine's loops.

    Returns:
        A notice where the config has a loop of another kind, which stays.
    """
    loop = cfg.train_cfg
    default = EpochBasedTrainLoop if loop.get('by_epoch') else IterBasedTrainLoop
    given = loop.get('type') or default
    name = str(getattr(given, '__name__', given)).rpartition('.')[2]  # new configs hold the class
    exact = {
        EpochBasedTrainLoop.__name__: ExactEpochLoop,
        IterBasedTrainLoop.__name__: ExactIterLoop,
    }.get(name)
    if name in (ExactEpochLoop.__name__, ExactIterLoop.__name__):  # of a config that was dumped
        return []
    if exact is None:
        return [f'{name}: a resumed run draws other random numbers than it would have without']
    loop.pop('by_epoch', None)
    loop.type = exact.__name__
    if cfg.get('skip_unreadable'):
        loop.skip_unreadable = True
    add_import(cfg, __name__)
    return []


class ExactLoop:
    """Make a resumed training run draw what the uninterrupted one would have drawn.

    What is drawn for a sample (augmentations) depends on the seed, the process, and the sample's
    position in the run, however many workers load; what is drawn in an iteration (drop path,
    dropout, sampled proposals) on the seed, the process, and the iteration. So there is no state to
    save. An epoch that was left in the middle is finished, and an evaluation that is due where the
    run was left is made, or made again: nothing tells whether it was complete.

    A file that cannot be read is named in the error.

    Not covered: transforms with a generator of their own; operators of GPUs that add in no fixed
    order; gradients accumulated over iterations.

    Args:
        skip_unreadable: continue without images and label maps that cannot be read; each is noted
            in `unreadable.txt` of the work dir and replaced by the next sample.
        settings: of MMEngine's loop.
    """

    runner: Runner
    dataloader: DataLoader
    by_epoch: bool

    def __init__(self, *args: Any, skip_unreadable: bool = False, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.skipped = Path(self.runner.work_dir, 'unreadable.txt') if skip_unreadable else None
        self.runner.register_hook(EvaluateWhatIsDue(), priority='LOWEST')

    def run(self) -> nn.Module:
        tell_other_batch(self.runner)
        self._number_samples()
        if self.runner.val_loop is not None:  # whose metrics are of all images or of none
            dataset = self.runner.val_dataloader.dataset
            dataset.__getitems__ = Samples(dataset)
        model = super().run()  # type: ignore[misc]
        if self.skipped and self.skipped.is_file():
            names = sorted(set(self.skipped.read_text().splitlines()))
            self.runner.logger.warning(
                f'{len(names)} unreadable files were left out: {listed(names)}; all are in '
                f'{self.skipped}'
            )
        return model

    def _number_samples(self) -> None:
        batches = self.dataloader.batch_sampler
        if not hasattr(batches, 'sampler'):
            return
        numbered = NumberedSampler(batches.sampler, self.runner, by_epoch=self.by_epoch)
        if type(batches) is BatchSampler and hasattr(batches.sampler, 'skip'):
            # MMEngine's loop moves this sampler to where the run is
            numbered.position = self.runner.iter * batches.batch_size
        batches.sampler = numbered
        dataset: Any = self.dataloader.dataset
        dataset.__getitems__ = Samples(dataset, self.skipped)

    def run_iter(self, *batch: Any) -> None:
        seed_all(self.runner.seed, get_rank(), MODEL, self.runner.iter)
        super().run_iter(*batch)  # type: ignore[misc]

    def evaluation_is_due(self) -> bool:
        """Whether MMEngine's loop would have evaluated between the last iteration and the next."""
        raise NotImplementedError

    def _is_due(self, at: int, last: int) -> bool:
        loop: Any = self
        if self.runner.val_loop is None:
            return False
        loop._decide_current_val_interval()
        return at >= loop.val_begin and (at % loop.val_interval == 0 or at == last)


@LOOPS.register_module()
class ExactEpochLoop(ExactLoop, EpochBasedTrainLoop):
    """MMEngine's loop over epochs as an `ExactLoop`."""

    by_epoch = True
    left = 0  # iterations of the first epoch that an earlier run has made

    def run(self) -> nn.Module:
        self.left = max(0, self.iter - self.epoch * len(self.dataloader))
        return super().run()

    def run_epoch(self) -> None:
        """Run an epoch; one that was left in the middle from its next iteration on."""
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
        """The batches of an epoch after the first `done`, of which nothing is loaded."""
        loader = self.dataloader
        return DataLoader(
            loader.dataset,
            batch_sampler=list(itertools.islice(loader.batch_sampler, done, None)),
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            worker_init_fn=loader.worker_init_fn,
        )

    def evaluation_is_due(self) -> bool:
        return not self.left and self._is_due(self.epoch, self.max_epochs)


@LOOPS.register_module()
class ExactIterLoop(ExactLoop, IterBasedTrainLoop):
    """MMEngine's loop over iterations as an `ExactLoop`."""

    by_epoch = False

    def evaluation_is_due(self) -> bool:
        return self._is_due(self.iter, self.max_iters)


class EvaluateWhatIsDue(Hook):
    """Evaluate before the first iteration of a resumed run, once all other hooks are ready."""

    def before_train(self, runner: Runner) -> None:
        if is_resuming(runner) and runner.iter and runner.train_loop.evaluation_is_due():
            runner.val_loop.run()


def tell_other_batch(runner: Runner) -> None:
    """Warn where a resumed run takes more or fewer images in an iteration than it did before."""
    hub, loader, processes = runner.message_hub, runner.train_dataloader, get_world_size()
    each = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', 0)
    before = hub.runtime_info.get(BATCH)
    if is_resuming(runner) and before not in (None, each * processes):
        runner.logger.warning(
            f'resumed with another total batch: {before} images before, now {each * processes} '
            f'({processes} process(es) x {each}); epochs have another number of iterations, and '
            'the learning rate stays'
        )
    hub.update_info(BATCH, each * processes)


class NumberedSampler:
    """A sampler whose indices know the seed of their sample; in all else the sampler itself."""

    def __init__(self, sampler: Sampler, runner: Runner, *, by_epoch: bool) -> None:
        self.sampler = sampler
        self.runner = runner
        self.by_epoch = by_epoch
        self.position = 0  # samples drawn in this epoch, or by an iteration-based loop

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
