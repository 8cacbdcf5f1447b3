"""Locking a folder of results for one run at a time, since a second would overwrite its files."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from backbones import atomic_write
from backbones.errors import UserError

NAME = 'owner.lock'
BEAT = 5.0  # seconds between an owner's heartbeats
WATCHED = 8  # missed heartbeats after which a process on another machine counts as ended
# environment variables in which launchers set a process's rank
RANKS = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID', 'mpi': 'OMPI_COMM_WORLD_RANK'}
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # on some network file systems


@contextlib.contextmanager
def owning(folder: str, launcher: str = 'none') -> Iterator[list[str]]:
    """Own a folder; the first of a run's processes does so for all of them.

    The file `owner.lock` names the owner: host, process and start time. The system's lock on it
    ends with the process, even if that is killed. For file systems without locks between machines,
    the owner also touches the file every few seconds, and other machines watch for changes without
    comparing clocks.

    Args:
        folder: created if it does not exist.
        launcher: MMEngine's.

    Yields:
        A notice if the previous owner was killed.

    Raises:
        UserError: another run owns the folder, or it is not writable.
    """
    if int(os.environ.get(RANKS.get(launcher, ''), 0)):
        yield []
        return
    path = Path(folder, NAME)
    file, notices = _take(path)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(file.fileno(), ended), daemon=True)
    beating.start()
    try:
        yield notices
    finally:
        ended.set()
        beating.join()
        with contextlib.suppress(OSError):  # the folder may be gone
            path.unlink()
        file.close()


def _take(path: Path) -> tuple[TextIOWrapper, list[str]]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open('a+', encoding='utf-8', errors='replace')
    except OSError as error:
        reason = atomic_write.REASONS.get(error.errno or 0, error.strerror)
        raise UserError(f'cannot write into {path.parent}: {reason}') from error
    # POSIX locks, unlike flock's, are not inherited by data loaders' workers, which may outlive us
    locked = _lock(file, path)
    if not path.exists() or not os.path.samestat(path.stat(), os.fstat(file.fileno())):
        file.close()  # the owner has just ended and removed it
        return _take(path)
    file.seek(0)
    before = _parsed(file.read())
    notices = [_left_over(path, before, locked)] if before else []
    _lock(file, path)  # closing the file, as a watcher does, releases the process's lock
    file.truncate(0)
    file.write(json.dumps(_ourselves()) + '\n')
    file.flush()
    return file, notices


def _lock(file: TextIOWrapper, path: Path) -> bool:
    """Lock the file for this process; return False if the file system has no locks."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise _refusal(path, _read(path)) from error
    return True


def _ourselves() -> dict[str, object]:
    return dict(
        host=socket.gethostname(),
        process=os.getpid(),
        since=time.strftime('%Y-%m-%d %H:%M:%S'),
        machine=_machine(),
    )


def _machine() -> str:
    """Return Linux's ID for this boot of the machine, which its containers share."""
    path = Path('/proc/sys/kernel/random/boot_id')
    return path.read_text().strip() if path.is_file() else socket.gethostname()


def _left_over(path: Path, before: dict, locked: bool) -> str:
    """Make sure that the process named in the file has ended.

    Raises:
        UserError: it is still running.
    """
    here = before.get('machine') == _machine()
    process = before.get('process')
    if here and not locked and isinstance(process, int) and atomic_write.is_running(process):
        raise _refusal(path, before)
    if not here:
        print(
            f'{path.parent}: watching for {WATCHED * BEAT:.0f} s whether the run of '
            f'{_named(before)}, is still alive',
            flush=True,
        )
        beat = path.stat().st_mtime_ns
        for _ in range(WATCHED):
            time.sleep(BEAT)
            with path.open('a') as opened:  # opening makes network file systems ask their server
                now = os.fstat(opened.fileno()).st_mtime_ns
            if now != beat:
                raise _refusal(path, before)
    return (
        f'{path.parent}: taken over from {_named(before)}, which ended without releasing the folder'
    )


def _refusal(path: Path, before: dict) -> UserError:
    return UserError(
        f'{path.parent} is in use by another run, {_named(before)}; two runs would overwrite '
        'each other: wait for it to end, stop it, or choose another folder'
    )


def _named(before: dict) -> str:
    keys = ('process', 'host', 'since')
    process, host, since = (str(before.get(key, 'unknown'))[:100] for key in keys)
    return f'process {process} on {host}, since {since}'


def _read(path: Path) -> dict:
    with contextlib.suppress(OSError):
        return _parsed(path.read_text(encoding='utf-8', errors='replace'))
    return {}


def _parsed(text: str) -> dict:
    """Parse a lock file; return {} if it is empty or incomplete."""
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(text[:10_000])
        return said if isinstance(said, dict) else {}
    return {}


def _beat(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(descriptor)
