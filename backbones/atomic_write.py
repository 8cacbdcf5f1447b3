"""Writing files atomically: a kill, a full disk or a power cut leaves the old or the new file."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from backbones.errors import UserError

SUFFIX = '.partial'  # ends the name of a file being written, after the writing process's ID
REASONS = {
    errno.ENOSPC: 'the disk is full: free some space',
    errno.EDQUOT: 'the disk quota is used up: free some space',
    errno.EFBIG: 'the file would be larger than allowed (`ulimit -f`): raise the limit',
    errno.ENOENT: 'its folder is gone: create it again',
    errno.EROFS: 'its file system is read-only: remount it',
    errno.EACCES: 'its folder is not writable: change its permissions',
    errno.EPERM: 'its folder is not writable: change its permissions',
    errno.EIO: 'the disk reports an error: check it',
    errno.ESTALE: 'the network file system has lost its folder: mount it again',
}


def write(path: Path, content: bytes) -> None:
    """Replace a file atomically: whoever opens `path` finds either the old or the new version.

    The content is written to a sibling file, flushed to disk and renamed; then the folder is
    flushed.

    Raises:
        UserError: the disk is full, or the folder is gone or not writable; a previous file of this
            name is unchanged.
    """
    partial = _partial(path)
    try:
        free = shutil.disk_usage(path.parent).free
        if free < len(content):
            raise OSError(errno.ENOSPC, f'{free >> 20} MiB are free')
        with partial.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        _remove(partial)
        _refuse(path, len(content), error)
    _sync_folder(path.parent)


def point(name: Path, target: Path) -> None:
    """Atomically make `name` another name of a file in the same folder.

    It is a hard link, which takes no space and keeps the content when `target` is deleted or the
    folder is moved, or a symbolic link if the file system has no hard links.

    Raises:
        UserError: the folder is gone or not writable.
    """
    partial = _partial(name)
    try:
        _remove(partial)
        try:
            os.link(target, partial)
        except OSError:
            partial.symlink_to(target.name)
        os.replace(partial, name)
        _remove(partial)  # `os.replace` keeps it if both were the same file already
    except OSError as error:
        _remove(partial)
        _refuse(name, 0, error)


@contextlib.contextmanager
def plainly(path: Path) -> Iterator[None]:
    """Turn errors of the disk while `path` is written into a `UserError`.

    Raises:
        UserError: see `write`.
    """
    try:
        yield
    except OSError as error:
        _refuse(path, 0, error)


def named_in(file: Path) -> Path | None:
    """Return the file whose relative path another file contains; None if it contains none."""
    if not file.is_file():
        return None
    try:
        path = file.parent / file.read_text()[:4096].strip()
        return path if path.is_file() else None
    except (OSError, ValueError):  # not text, or not a valid path
        return None


def is_running(process: int) -> bool:
    """Return whether a process with this ID runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        return True
    return True


def remove_partial(folder: Path) -> list[str]:
    """Delete files that killed processes left half-written, and return their names.

    Files that another process on this machine may still be writing are kept.
    """
    found = [path for path in sorted(folder.glob(f'.*{SUFFIX}')) if not _is_being_written(path)]
    for path in found:
        _remove(path)
    return [path.name for path in found]


def _partial(path: Path) -> Path:
    return path.with_name(f'.{path.name}.{os.getpid()}{SUFFIX}')


def _is_being_written(partial: Path) -> bool:
    process = partial.name.removesuffix(SUFFIX).rpartition('.')[2]
    return process.isdecimal() and int(process) != os.getpid() and is_running(int(process))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _sync_folder(folder: Path) -> None:
    """Flush a rename to disk, if the file system can; some network file systems cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _refuse(path: Path, size: int, error: OSError) -> NoReturn:
    reason = REASONS.get(error.errno or 0)
    if reason is None:
        raise error
    needs = f' ({size / 2**20:.1f} MiB)' if size else ''
    raise UserError(
        f'cannot write {path}{needs}: {reason}, then resume. An earlier file of this name is '
        f'unchanged ({error.strerror})'
    ) from error
