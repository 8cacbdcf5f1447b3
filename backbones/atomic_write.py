"""Writing files that a kill, a full disk or a power cut leaves whole: old or new, never half."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from backbones.errors import UserError

SUFFIX = '.partial'  # of a file that is being written, after the process that writes it
REASONS = {
    errno.ENOSPC: 'the disk is full: make room',
    errno.EDQUOT: 'the quota is used up: make room',
    errno.EFBIG: 'the file would be larger than allowed (`ulimit -f`): raise the limit',
    errno.ENOENT: 'its folder is gone: make it again',
    errno.EROFS: 'its folder is read-only: remount it',
    errno.EACCES: 'its folder may not be written: change its permissions',
    errno.EPERM: 'its folder may not be written: change its permissions',
    errno.EIO: 'the disk reports an error',
    errno.ESTALE: 'the network file system has lost its folder: mount it again',
}


def write(path: Path, content: bytes) -> None:
    """Replace a file at once: whoever opens `path`, at any time, finds all of one version.

    The content goes to a sibling, reaches the disk, and takes the name; then the folder does.

    Raises:
        UserError: there is no room, or the folder is gone or may not be written; what was under the
            name before is still there.
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
    """Make `name` another name of a file in the same folder, at once.

    A hard link: it needs no room, and holds the content although `target` is deleted or the folder
    is moved. Where the file system has none, a symbolic link.

    Raises:
        UserError: the folder is gone or may not be written.
    """
    partial = _partial(name)
    try:
        _remove(partial)
        try:
            os.link(target, partial)
        except OSError:
            partial.symlink_to(target.name)
        os.replace(partial, name)
        _remove(partial)  # it stays where both were the same file already
    except OSError as error:
        _remove(partial)
        _refuse(name, 0, error)


@contextlib.contextmanager
def plainly(path: Path) -> Iterator[None]:
    """Let what the disk refuses while `path` is written end in one line.

    Raises:
        UserError: see `write`.
    """
    try:
        yield
    except OSError as error:
        _refuse(path, 0, error)


def named_in(file: Path) -> Path | None:
    """The file that another one names by its path from there; None where it names none."""
    if not file.is_file():
        return None
    try:
        path = file.parent / file.read_text()[:4096].strip()
        return path if path.is_file() else None
    except (OSError, ValueError):  # no text, or no name that could be one
        return None


def is_running(process: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def remove_partial(folder: Path) -> list[str]:
    """Delete what kills have left half written; returns the names.

    What another process of this machine may be writing stays.
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
    """Bring a rename to the disk; some network file systems cannot, and do without."""
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
        f'cannot write {path}{needs}: {reason}, and resume. What was there before is untouched '
        f'({error.strerror})'
    ) from error
