"""Random numbers that depend on where a training is, not on how it got there."""

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import BatchSampler, DataLoader, Sampler

from backbones.errors import listed
from backbones.training.seeded_dataset import Samples, SeededIndex, seed_all

BATCH = 'total_batch'  # in the message hub, and so in checkpoints
SAMPLES, MODEL = 0, 1  # streams of random numbers


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make a resumed training draw what the uninterrupted one would have drawn.

    What is drawn for a sample (augmentations) depends on the seed, the process, and the sample's
    position in the training, however many workers load; what is drawn in an iteration (drop path,
    dropout, sampled proposals) on the seed, the process, and the iteration. So there is no state to
    save. An epoch that was left in the middle is finished, and an evaluation that is due where the
    training was left is made, or made again: nothing tells whether it was complete.

    A file that cannot be read is named in the error.

    Not covered: transforms with a generator of their own; operators of GPUs that add in no fixed
    order; gradients accumulated over iterations.

    Args:
        skip_unreadable: go on without images and label maps that cannot be read; each is noted in
            `unreadable.txt` of the work dir and replaced by the next sample.
    """

    priority = 'LOWEST'  # in a resumed training it evaluates before the first iteration

    def __init__(self, *, skip_unreadable: bool = False) -> None:
        self.skip_unreadable = skip_unreadable

    def before_train(self, runner: Runner) -> None:
        tell_other_batch(runner)
        loop, loader = runner.train_loop, runner.train_dataloader
        batches = loader.batch_sampler
        if hasattr(batches, 'sampler'):
            numbered = NumberedSampler(batches.sampler, runner)
            if type(batches) is BatchSampler and hasattr(batches.sampler, 'skip'):
                # MMEngine's loop moves this sampler to where the training is
                numbered.position = runner.iter * batches.batch_size
            batches.sampler = numbered
            self.skipped = Path(runner.work_dir, 'unreadable.txt')
            skipped = self.skipped if self.skip_unreadable else None
            loader.dataset.__getitems__ = Samples(loader.dataset, skipped)
        if runner.val_loop is not None:  # whose metrics are of all images or of none
            dataset = runner.val_dataloader.dataset
            dataset.__getitems__ = Samples(dataset)
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

    def after_train(self, runner: Runner) -> None:
        if self.skip_unreadable and self.skipped.is_file():
            names = sorted(set(self.skipped.read_text().splitlines()))
            runner.logger.warning(
                f'{len(names)} unreadable files were left out: {listed(names)}; all are in '
                f'{self.skipped}'
            )


def tell_other_batch(runner: Runner) -> None:
    """Warn where a resumed run takes more or fewer images in an iteration than it did before."""
    hub, loader, processes = runner.message_hub, runner.train_dataloader, get_world_size()
    each = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', 0)
    before = hub.runtime_info.get(BATCH)
    if runner._resume and before not in (None, each * processes):
        runner.logger.warning(
            f'resumed with another total batch: {before} images before, now {each * processes} '
            f'({processes} process(es) x {each}); epochs have another number of iterations, and '
            'the learning rate stays'
        )
    hub.update_info(BATCH, each * processes)


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
