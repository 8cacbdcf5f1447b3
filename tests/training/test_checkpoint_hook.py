"""A kill, a full disk, bad numbers: the old checkpoint stays until the new one is complete."""

import errno
import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from runners import small_runner

from backbones import atomic_write
from backbones.errors import UserError
from backbones.training import checkpoints


class Killed(BaseException):
    """Ends training where a kill would."""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != '.py' and path.is_file()}


def iteration(path: Path) -> int:
    return torch.load(path)['meta']['iter']


def test_keeps_the_newest_under_its_number_and_as_last(tmp_path: Path) -> None:
    small_runner(tmp_path, checkpoint=dict(max_keep_ckpts=2)).train()
    assert names(tmp_path) == {'iter_4.pth', 'iter_6.pth', 'last.pth', 'last_checkpoint'}
    assert iteration(tmp_path / 'last.pth') == 6
    assert (tmp_path / 'last_checkpoint').read_text() == 'iter_6.pth', 'the folder may be moved'


def test_pytorch_reads_a_checkpoint_by_default(tmp_path: Path) -> None:
    """Its default refuses files with classes in them, such as MMEngine's histories of logs."""
    options = dict(save_best='acc')
    runner = small_runner(tmp_path, checkpoint=options, scores=[np.float64(0.5)] * 3)
    runner.train()
    for name in ('last.pth', 'best.pth'):
        content = torch.load(tmp_path / name)
        assert content['message_hub']['runtime_info']['best_score'] == 0.5
    losses = runner.message_hub.log_scalars['train/loss'].data[0]
    assert content['message_hub']['log_scalars']['train/loss']['values'].tolist() == [*losses[:2]]

    resumed = small_runner(tmp_path, resume=True, load_from=str(tmp_path / 'iter_6.pth'))
    resumed.load_or_resume()
    assert resumed.message_hub.log_scalars['train/loss'].data[0].tolist() == [*losses]


@pytest.mark.parametrize('metric', ['acc', 'auto'])
def test_the_best_has_a_stable_name_and_the_one_before_goes(metric: str, tmp_path: Path) -> None:
    options = dict(save_best=metric, max_keep_ckpts=1)
    small_runner(tmp_path, checkpoint=options, scores=[0.1, 0.3, 0.2]).train()
    kept = {'best.pth', 'best_acc_iter_4.pth', 'iter_6.pth', 'last.pth', 'last_checkpoint'}
    assert names(tmp_path) == kept
    assert iteration(tmp_path / 'best.pth') == iteration(tmp_path / 'best_acc_iter_4.pth') == 4


def test_the_best_of_boxes_and_masks_is_that_of_the_masks(tmp_path: Path) -> None:
    scores = [{'coco/bbox_mAP': 1 - x, 'coco/segm_mAP': x} for x in (0.1, 0.3, 0.2)]
    small_runner(tmp_path, checkpoint=dict(save_best='auto'), scores=scores).train()
    assert iteration(tmp_path / 'best.pth') == 4


def test_a_kill_while_the_best_is_saved_leaves_the_best_before(tmp_path: Path, monkeypatch) -> None:
    options = dict(save_best='acc', max_keep_ckpts=1)
    runner = small_runner(tmp_path, checkpoint=options, scores=[0.1, 0.3, 0.2])
    replace = atomic_write.os.replace

    def kill(old: Path, new: Path) -> None:
        if new.name == 'best_acc_iter_4.pth':
            raise Killed
        replace(old, new)

    monkeypatch.setattr(atomic_write.os, 'replace', kill)
    with pytest.raises(Killed):
        runner.train()
    monkeypatch.undo()
    assert iteration(tmp_path / 'best.pth') == iteration(tmp_path / 'best_acc_iter_2.pth') == 2
    small_runner(tmp_path, checkpoint=options, scores=[0.1, 0.2], resume=True).train()
    kept = {'best.pth', 'best_acc_iter_6.pth', 'iter_6.pth', 'last.pth', 'last_checkpoint'}
    assert names(tmp_path) == kept and iteration(tmp_path / 'best.pth') == 6


@pytest.mark.parametrize(
    'step, keep',
    [
        *itertools.product(('write', 'fsync', 'replace', 'last_checkpoint', 'link'), (1, 3)),
        ('remove', 1),
    ],
)
def test_a_kill_at_any_step_of_saving_leaves_a_whole_checkpoint(
    step: str, keep: int, tmp_path: Path, monkeypatch
) -> None:
    """The second save is killed; MMEngine alone would have deleted the first by then."""
    runner = small_runner(tmp_path, checkpoint=dict(max_keep_ckpts=keep))
    calls = dict(
        write=(atomic_write.shutil, 'disk_usage'),
        fsync=(atomic_write.os, 'fsync'),
        replace=(atomic_write.os, 'replace'),
        last_checkpoint=(atomic_write, 'write'),
        link=(atomic_write.os, 'link'),
        remove=(checkpoints.LocalBackend, 'remove'),
    )
    owner, name = calls[step]
    original = getattr(owner, name)

    def kill(*args: object, **kwargs: object) -> object:
        if (tmp_path / 'iter_2.pth').exists() and runner.iter == 3:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, kill)
    with pytest.raises(Killed):
        runner.train()
    monkeypatch.undo()
    assert iteration(tmp_path / 'iter_2.pth') == 2
    assert atomic_write.named_in(tmp_path / 'last_checkpoint').is_file()

    again = small_runner(tmp_path, checkpoint=dict(max_keep_ckpts=keep), resume=True)
    again.train()
    assert again.iter == 6
    expected = {f'iter_{i}.pth' for i in (2, 4, 6)[-keep:]} | {'last.pth', 'last_checkpoint'}
    assert names(tmp_path) == expected


def test_a_kill_before_the_last_name_is_mended_by_a_resume(tmp_path: Path, monkeypatch) -> None:
    """Training is complete, so the resumed run has nothing to save."""
    runner = small_runner(tmp_path)
    point = atomic_write.point

    def kill(name: Path, target: Path) -> None:
        if target.name == 'iter_6.pth':
            raise Killed
        point(name, target)

    monkeypatch.setattr(atomic_write, 'point', kill)
    with pytest.raises(Killed):
        runner.train()
    monkeypatch.undo()
    assert iteration(tmp_path / 'last.pth') == 4
    small_runner(tmp_path, resume=True).train()
    assert iteration(tmp_path / 'last.pth') == 6


def test_what_another_process_writes_stays(tmp_path: Path) -> None:
    for process in (1, os.getpid(), 2**22 + 1):  # running, ourselves before a kill, none
        (tmp_path / f'.iter_2.pth.{process}.partial').touch()
    (tmp_path / '.old.pth.partial').touch()
    assert len(atomic_write.remove_partial(tmp_path)) == 3
    assert names(tmp_path) == {'.iter_2.pth.1.partial'}


def test_a_resume_of_mmengines_own_takes_the_moved_folders_checkpoint(tmp_path: Path) -> None:
    small_runner(tmp_path / 'a').train()
    shutil.move(tmp_path / 'a', tmp_path / 'b')
    again = small_runner(tmp_path / 'b', iterations=8, resume=True)
    again.train()
    assert again._load_from == str(tmp_path / 'b/iter_6.pth') and again.iter == 8


def test_a_full_disk_is_one_plain_line_and_what_was_there_stays(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / 'iter_2.pth'
    atomic_write.write(path, b'old')
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(atomic_write.shutil, 'disk_usage', lambda _: usage)
    with pytest.raises(UserError, match=r'iter_2\.pth \(2\.0 MiB\): the disk is full') as error:
        atomic_write.write(path, bytes(2 << 20))
    assert '\n' not in str(error.value) and '1 MiB are free' in str(error.value)
    assert path.read_bytes() == b'old' and names(tmp_path) == {'iter_2.pth'}


def test_a_vanished_folder_is_one_plain_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='its folder is gone'):
        atomic_write.write(tmp_path / 'gone' / 'x.pth', b'new')
    assert not (tmp_path / 'gone').exists()


@pytest.mark.parametrize(
    'number, message',
    [
        (errno.EROFS, 'its file system is read-only: remount it'),
        (errno.EACCES, 'its folder is not writable'),
        (errno.ENOSPC, 'the disk is full: free some space'),
    ],
)
def test_a_write_that_fails_is_one_plain_line(
    number: int, message: str, tmp_path: Path, monkeypatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    atomic_write.write(tmp_path / 'x.pth', b'old')
    monkeypatch.setattr(atomic_write.os, 'fsync', fail)
    with pytest.raises(UserError, match=message):
        atomic_write.write(tmp_path / 'x.pth', b'new')
    assert (tmp_path / 'x.pth').read_bytes() == b'old' and names(tmp_path) == {'x.pth'}


def test_without_hard_links_the_names_are_symbolic_links(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(atomic_write.os, 'link', refuse)
    small_runner(tmp_path, checkpoint=dict(max_keep_ckpts=1)).train()
    assert (tmp_path / 'last.pth').readlink() == Path('iter_6.pth')
    assert iteration(tmp_path / 'last.pth') == 6


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    runner = small_runner(tmp_path, checkpoint=dict(max_keep_ckpts=1))
    forward = runner.model.forward

    def spoil(*args: object, **kwargs: object) -> object:
        if runner.iter == 3:
            runner.model.map.bias.data.fill_(float('nan'))
        return forward(*args, **kwargs)

    runner.model.forward = spoil
    with pytest.raises(UserError, match=r'not saved at iteration 4: 2 tensors.*map\.weight'):
        runner.train()
    assert names(tmp_path) == {'iter_2.pth', 'last.pth', 'last_checkpoint'}
    state = torch.load(tmp_path / 'last.pth')['state_dict']
    assert all(value.isfinite().all() for value in state.values())
