"""A folder has one owner, even after kills and copies, and across machines."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from owner import Owner

from backbones import folder_lock
from backbones.errors import UserError
from backbones.folder_lock import NAME, owning


def test_a_second_run_is_refused_by_name_and_may_start_after_the_first(tmp_path: Path) -> None:
    first = Owner(tmp_path / 'run')
    assert first.said == []
    process = first.process.pid
    with pytest.raises(UserError, match=rf'another run, process {process} on .*another folder'):
        owning(str(tmp_path / 'run')).__enter__()
    assert json.loads((tmp_path / 'run' / NAME).read_text())['process'] == process
    first.end()
    assert [*(tmp_path / 'run').iterdir()] == []
    with owning(str(tmp_path / 'run')) as notices:
        assert notices == []


def test_a_killed_owner_is_followed_with_a_notice(tmp_path: Path) -> None:
    first = Owner(tmp_path)
    first.kill()
    with owning(str(tmp_path)) as (notice,):
        assert f'process {first.process.pid} on' in notice and 'taken over' in notice
        assert f'process {os.getpid()} on' in Owner(tmp_path).said


def test_a_child_that_outlives_a_killed_owner_owns_nothing(tmp_path: Path, monkeypatch) -> None:
    """As a loader's worker does when training is killed."""
    take = folder_lock._take

    def take_and_fork(path: Path) -> tuple:
        taken = take(path)
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        (tmp_path / 'child').write_text(str(child))
        return taken

    monkeypatch.setattr(folder_lock, '_take', take_and_fork)
    first = Owner(tmp_path)
    child = int((tmp_path / 'child').read_text())
    monkeypatch.undo()
    first.kill()
    os.kill(child, 0)
    with owning(str(tmp_path)) as (notice,):
        assert 'taken over' in notice
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize('beats', [True, False])
def test_an_owner_on_another_machine_counts_as_long_as_it_beats(
    beats: bool, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(folder_lock, 'BEAT', 0.05)
    path = tmp_path / NAME
    path.write_text(json.dumps(dict(host='far', process=1, machine='x', since='noon')))
    if beats:
        sleep = time.sleep
        monkeypatch.setattr(folder_lock.time, 'sleep', lambda s: (sleep(s), os.utime(path)))
        with pytest.raises(UserError, match='process 1 on far, since noon'):
            owning(str(tmp_path)).__enter__()
    else:
        with owning(str(tmp_path)) as (notice,):
            assert 'process 1 on far' in notice
            assert f'process {os.getpid()} on' in Owner(tmp_path).said


def test_the_owner_beats(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(folder_lock, 'BEAT', 0.01)
    with owning(str(tmp_path)):
        os.utime(tmp_path / NAME, (1, 1))
        for _ in range(500):
            if (tmp_path / NAME).stat().st_mtime > 1:
                break
            time.sleep(0.01)
        assert (tmp_path / NAME).stat().st_mtime > 1


def test_without_locks_the_process_that_the_file_names_decides(tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(folder_lock.errno.ENOLCK, 'no locks')

    first = Owner(tmp_path)
    monkeypatch.setattr(folder_lock.fcntl, 'lockf', fail)
    with pytest.raises(UserError, match=f'process {first.process.pid} on'):
        owning(str(tmp_path)).__enter__()
    first.kill()
    with owning(str(tmp_path)) as (notice,):
        assert 'taken over' in notice


@pytest.mark.parametrize('text', ['', '{', '[]', '[' * 100_000, 'x' * 100_000, '{"process": "1"}'])
def test_any_lock_file_is_taken_over(text: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(folder_lock, 'BEAT', 0)
    (tmp_path / NAME).write_text(text)
    with owning(str(tmp_path)):
        assert json.loads((tmp_path / NAME).read_text())['process'] == os.getpid()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='cannot write into'):
        owning(str(tmp_path / 'file' / 'run')).__enter__()


def test_only_the_first_of_several_processes_owns(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv('RANK', '1')
    with owning(str(tmp_path / 'run'), 'pytorch') as notices:
        assert notices == [] and not (tmp_path / 'run').exists()
