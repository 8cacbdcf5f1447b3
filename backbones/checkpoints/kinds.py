"""What kind of file it is that someone took for a checkpoint."""

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
# with what Python's reader of zip archives can end at one that is damaged, or made for that
BAD_ZIP = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError),
    *(ValueError, LookupError, OverflowError),
)
# a pickle of the number by which PyTorch knew its files before it wrote zip archives
OLD_FORMAT = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19'
MAGIC = {  # kind: where in the file it is known by which bytes
    'a gzip archive': (0, b'\x1f\x8b'),
    'an xz archive': (0, b'\xfd7zXZ'),
    'a bzip2 archive': (0, b'BZh'),
    'a 7z archive': (0, b'7z\xbc\xaf'),
    'a tar archive': (257, b'ustar'),
    'a file of Keras or HDF5': (0, b'\x89HDF'),
    'an array of numpy': (0, b'\x93NUMPY'),
}


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, perhaps a damaged one."""
    try:
        return zipfile.is_zipfile(path)
    except BAD_ZIP:  # its end has a mark of archives, and nonsense behind it
        return True


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[IO[bytes]]:
    """A file that is not empty, to read from; a pickle may ask for any number of bytes at once.

    Python makes room for as many before it reads a file, but not before it reads a mapping.
    """
    with path.open('rb') as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        yield content  # type: ignore[misc]  # it has what files have for reading


def check_kind(path: Path, source: str) -> None:
    """Tell what a file is that is no checkpoint, or was damaged since PyTorch wrote it.

    Raises:
        CheckpointError: see there.
    """
    with path.open('rb') as file:
        head = file.read(512)
    start = head.lstrip().lower()
    where = f'{source} ({path.stat().st_size} bytes)'
    if not head:
        raise CheckpointError(f'{where} is empty: {ANEW}')
    if start.startswith(b'version https://git-lfs'):
        raise CheckpointError(
            f'{where} is a git-lfs pointer, not the file itself: run `git lfs pull` where it was '
            'cloned, or download the file'
        )
    if start.startswith((b'<!doctype', b'<html', b'<?xml', b'<head', b'<!--')):
        raise CheckpointError(
            f'{where} is a web page, as a failed download leaves it: delete it, open the link in a '
            'browser, and save the file itself'
        )
    known = (kind for kind, (at, magic) in MAGIC.items() if head[at:].startswith(magic))
    if is_zip(path):
        _check_zip(path, where)
    elif kind := next(known, ''):
        raise CheckpointError(
            f'{where} is {kind}, not a checkpoint of PyTorch. If it is an archive, unpack it and '
            'give the checkpoint in it'
        )
    elif b'\0' not in head and head.isascii() and head[:1] not in b'(c':  # these begin old pickles
        raise CheckpointError(
            f'{where} is a text that begins with {head[:40].decode()!r}, not a checkpoint: {ANEW}'
        )


def is_foreign_pickle(path: Path) -> bool:
    """Whether a file is a pickle, but not one of those that PyTorch's older files begin with."""
    with path.open('rb') as file:
        head = file.read(len(OLD_FORMAT))
    return head[:1] == OLD_FORMAT[:1] and head != OLD_FORMAT


def _check_zip(path: Path, where: str) -> None:
    """Look into a zip archive, and compare it with its own checksums, as `torch.load` does not.

    Raises:
        CheckpointError: another program wrote it, or it was damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            for part in archive.infolist():
                if not part.CRC:  # PyTorch can be told to write none
                    continue
                with archive.open(part) as content:
                    while content.read(CHUNK):
                        pass
    except BAD_ZIP as error:
        raise CheckpointError(
            f'{where} is truncated or damaged since it was written ({error}): {ANEW}, or take '
            'another copy'
        ) from error
    if any(n.endswith('/constants.pkl') or '/code/' in n for n in names):
        raise CheckpointError(
            f'{where} is a TorchScript archive, a program with its weights. Where it was made, '
            'save the tensors alone: torch.save(model.state_dict(), FILE)'
        )
    if not any(n.endswith('data.pkl') for n in names):
        raise CheckpointError(
            f'{where} is a zip archive that PyTorch did not write; it holds {listed(names)}. '
            'Unpack it and give the checkpoint in it'
        )
