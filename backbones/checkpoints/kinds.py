"""Recognising files that are not checkpoints."""

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO

from backbones.errors import CheckpointError, listed

ANEW = 'download it again'
CHUNK = 1 << 20  # bytes
# errors that Python's zip reader can raise for a damaged or malicious archive
BAD_ZIP = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError),
    *(ValueError, LookupError, OverflowError),
)
# the pickled number at the start of PyTorch's files from before it wrote zip archives
OLD_FORMAT = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19'
MAGIC = {  # kind: offset and bytes that identify it
    'a gzip archive': (0, b'\x1f\x8b'),
    'an xz archive': (0, b'\xfd7zXZ'),
    'a bzip2 archive': (0, b'BZh'),
    'a 7z archive': (0, b'7z\xbc\xaf'),
    'a tar archive': (257, b'ustar'),
    'a Keras or HDF5 file': (0, b'\x89HDF'),
    'a NumPy array': (0, b'\x93NUMPY'),
}


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip archive, perhaps a damaged one."""
    try:
        return zipfile.is_zipfile(path)
    except BAD_ZIP:  # an archive's end marker, followed by nonsense
        return True


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[IO[bytes]]:
    """Map a non-empty file into memory for reading; a pickle may request any number of bytes.

    Python allocates that many before reading from a file, but not before reading from a mapping.
    """
    with path.open('rb') as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        yield content  # type: ignore[misc]  # it can be read like a file


def check_kind(path: Path, source: str) -> None:
    """Reject a file that is not a checkpoint, or was damaged after PyTorch wrote it.

    Raises:
        CheckpointError: it is not; the message says what it is.
    """
    with path.open('rb') as file:
        head = file.read(512)
    start = head.lstrip().lower()
    where = f'{source} ({path.stat().st_size} bytes)'
    if not head:
        raise CheckpointError(f'{where} is empty: {ANEW}')
    if start.startswith(b'version https://git-lfs'):
        raise CheckpointError(
            f'{where} is a git-lfs pointer, not the file itself: run `git lfs pull` in its clone, '
            'or download the file'
        )
    if start.startswith((b'<!doctype', b'<html', b'<?xml', b'<head', b'<!--')):
        raise CheckpointError(
            f'{where} is a web page, perhaps from a failed download: delete it, open the link in a '
            'browser, and save the file itself'
        )
    known = (kind for kind, (at, magic) in MAGIC.items() if head[at:].startswith(magic))
    if is_zip(path):
        _check_zip(path, where)
    elif kind := next(known, ''):
        raise CheckpointError(
            f'{where} is {kind}, not a PyTorch checkpoint. If it is an archive, unpack it and give '
            'the checkpoint in it'
        )
    elif b'\0' not in head and head.isascii() and head[:1] not in b'(c':  # old pickles start so
        raise CheckpointError(
            f'{where} is text that begins with {head[:40].decode()!r}, not a checkpoint: {ANEW}'
        )


def is_foreign_pickle(path: Path) -> bool:
    """Return whether a file is a pickle, but not one that begins PyTorch's older files."""
    with path.open('rb') as file:
        head = file.read(len(OLD_FORMAT))
    return head[:1] == OLD_FORMAT[:1] and head != OLD_FORMAT


def _check_zip(path: Path, where: str) -> None:
    """Check who wrote a zip archive, and compare its checksums, which `torch.load` does not.

    Raises:
        CheckpointError: another program wrote it, or it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            for part in archive.infolist():
                if not part.CRC:  # PyTorch can be configured to write none
                    continue
                with archive.open(part) as content:
                    while content.read(CHUNK):
                        pass
    except BAD_ZIP as error:
        raise CheckpointError(
            f'{where} has been truncated or damaged since it was written ({error}): {ANEW}, or use '
            'another copy'
        ) from error
    if any(n.endswith('/constants.pkl') or '/code/' in n for n in names):
        raise CheckpointError(
            f'{where} is a TorchScript archive, a program with its weights. Save the tensors alone '
            'where it was made: torch.save(model.state_dict(), FILE)'
        )
    if not any(n.endswith('data.pkl') for n in names):
        raise CheckpointError(
            f'{where} is a zip archive that PyTorch did not write; it holds {listed(names)}. '
            'Unpack it and give the checkpoint in it'
        )
