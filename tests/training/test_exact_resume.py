"""An interrupted training run continues with exactly the numbers of an uninterrupted one."""

import itertools
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from runners import SAMPLES, small_runner

LOOPS = {  # eight samples in batches of two: two epochs of four iterations
    'iterations': dict(train_cfg=dict(by_epoch=False, max_iters=8)),
    'epochs': dict(train_cfg=dict(by_epoch=True, max_epochs=2)),
}
SAMPLER = {'iterations': 'InfiniteSampler', 'epochs': 'DefaultSampler'}


class Record(Hook):
    """Keep each iteration's loss; save and stop after one of them."""

    priority = 'LOWEST'

    def __init__(self, stop: int | None = None) -> None:
        self.losses: dict[int, float] = {}
        self.stop = stop

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None):
        self.losses[runner.iter] = outputs['loss'].item()
        if runner.iter + 1 == self.stop:
            meta = dict(epoch=runner.epoch, iter=runner.iter + 1)
            runner.save_checkpoint(runner.work_dir, 'stop.pth', meta=meta, by_epoch=False)
            raise KeyboardInterrupt


def train(work_dir: Path, loop: str, workers: int, **settings) -> tuple[Runner, Record]:
    record = Record(settings.pop('stop', None))
    runner = small_runner(
        work_dir,
        **LOOPS[loop],
        **settings,
        workers=workers,
        custom_hooks=[record],
        checkpoint=dict(interval=-1),
        sampler=SAMPLER[loop],
    )
    if record.stop is None:
        runner.train()
    else:
        with pytest.raises(KeyboardInterrupt):
            runner.train()
    return runner, record


QUICK = [('iterations', 2, 3), ('epochs', 0, 5), ('epochs', 2, 3)]


@pytest.mark.parametrize(
    'loop, workers, stop',
    [
        pytest.param(*case, marks=[] if case in QUICK else [pytest.mark.slow])
        for case in itertools.product(LOOPS, (0, 2), (3, 5))
    ],
)
def test_losses_after_a_resume_are_the_uninterrupted_ones(
    loop: str, workers: int, stop: int, tmp_path: Path
) -> None:
    """It is stopped in the middle of either epoch, and resumed with another number of workers."""
    whole, all_losses = train(tmp_path / 'whole', loop, workers=0)
    assert len(set(all_losses.losses.values())) == SAMPLES
    _, before = train(tmp_path, loop, workers, stop=stop)
    resumed = dict(resume=True, load_from=str(tmp_path / 'stop.pth'))
    again, after = train(tmp_path / 'again', loop, 2 - workers, **resumed)
    assert min(after.losses) == stop
    assert before.losses | after.losses == all_losses.losses
    state = again.model.state_dict()
    for key, value in whole.model.state_dict().items():
        assert torch.equal(state[key], value)


def test_an_evaluation_that_was_due_is_made(tmp_path: Path) -> None:
    options = dict(checkpoint=dict(save_best='acc'))
    runner = small_runner(tmp_path, iterations=4, scores=[0.5], **options)
    with pytest.raises(StopIteration):  # as if killed in the second evaluation
        runner.train()
    small_runner(tmp_path, iterations=4, scores=[0.7], resume=True, **options).train()
    assert (tmp_path / 'best_acc_iter_4.pth').samefile(tmp_path / 'best.pth')


def test_another_total_batch_is_told(tmp_path: Path, capsys) -> None:
    options = dict(log_level='WARNING')
    small_runner(tmp_path, iterations=2, **options).train()
    small_runner(tmp_path, iterations=4, resume=True, **options).train()
    assert 'total batch' not in ''.join(capsys.readouterr())
    with patch('backbones.training.loop.get_world_size', lambda: 2):
        small_runner(tmp_path, iterations=6, resume=True, **options).train()
    assert (
        'resumed with a different total batch: 2 images before, 4 now (2 process(es) x 2)'
        in ''.join(capsys.readouterr())
    )
