"""The two formats of `torch.save`: a zip archive, or several pickles followed by the numbers."""

import mmap
import sys
import zipfile
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch

from backbones.checkpoints.kinds import CHUNK, is_zip
from backbones.checkpoints.pickles import Reader
from backbones.checkpoints.rebuilders import Kind, Storage

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # at the start of the older format


def load(path: Path, *, numbers: bool = True) -> object:
    """Read a file of `torch.save` into main memory, calling nothing that it names.

    It uses none of PyTorch's functions for reading files, so it changes nothing in PyTorch, and
    other threads can read files at the same time.

    Args:
        path: the file.
        numbers: read the numbers of tensors; otherwise only the pickle in a zip is read, and the
            tensors are zeros in memory that is allocated only when it is written to.

    Raises:
        RefusedCall: see `pickles`.
        Exception: one of `files.DAMAGE` if the file cannot be read.
    """
    if is_zip(path):
        with zipfile.ZipFile(path) as archive:
            return _load_zip(archive, numbers)
    with path.open('rb') as file:
        return _load_old(file, path.stat().st_size)


def _load_zip(archive: zipfile.ZipFile, numbers: bool) -> object:
    content = min((n for n in archive.namelist() if n.endswith('data.pkl')), key=len)
    folder = content.removesuffix('data.pkl')
    for part in archive.infolist():
        del part.CRC  # `check_kind` has already compared it
    order = f'{folder}byteorder'
    swap = order in archive.namelist() and archive.read(order).decode() != sys.byteorder
    known: dict[str, torch.UntypedStorage] = {}

    def storage(kind: Kind, key: str, location: object, count: int) -> Storage:
        if key not in known:
            known[key] = _read_part(archive, f'{folder}data/{key}', numbers)
            if swap:
                known[key].byteswap(kind.dtype)
        _check_room(known[key].nbytes(), count * kind.size)
        return Storage(kind.dtype, known[key])

    with archive.open(content) as file:
        return Reader(file, storage).load()


def _read_part(archive: zipfile.ZipFile, name: str, numbers: bool) -> torch.UntypedStorage:
    size = archive.getinfo(name).file_size
    if not numbers and size:
        return _numbers(mmap.mmap(-1, size))
    room = bytearray(size)
    with archive.open(name) as part, memoryview(room) as view:
        for start in range(0, len(room), CHUNK):
            view[start : start + CHUNK] = part.read(CHUNK)
    return _numbers(room)


def _load_old(file: BufferedReader, limit: int) -> object:
    """Read pickles: magic number, version, the saver's machine, content, keys of the storages.

    Args:
        file: at its start.
        limit: the file's size; no storage can be larger.
    """
    if Reader(file).load() != MAGIC or Reader(file).load() != PROTOCOL:
        raise ValueError('not the older format of torch.save')
    Reader(file).load()
    known: dict[str, tuple[bytearray, torch.UntypedStorage, int]] = {}

    def storage(kind: Kind, key: str, location: object, count: int, view: Any) -> Storage:
        if key not in known:
            _check_room(limit, count * kind.size)
            room = bytearray(count * kind.size)
            known[key] = room, _numbers(room), kind.size
        _, numbers, _ = known[key]
        if view is not None:
            _, first, length = view
            _check_room(numbers.nbytes(), (first + length) * kind.size)
            numbers = numbers[first * kind.size : (first + length) * kind.size]
        return Storage(kind.dtype, numbers)

    content = Reader(file, storage).load()
    for key in Reader(file).load():
        room, _, size = known[key]
        count = int.from_bytes(file.read(8), 'little')
        if count * size != len(room) or file.readinto(memoryview(room)) != len(room):
            raise EOFError(f'storage {key} is truncated')
    return content


def _numbers(room: bytearray | mmap.mmap) -> torch.UntypedStorage:
    """Return a storage in the memory of `room`."""
    if not len(room):
        return torch.UntypedStorage(0, device='cpu')
    return torch.frombuffer(room, dtype=torch.uint8).untyped_storage()


def _check_room(there: int, needed: int) -> None:
    if not 0 <= needed <= there:
        raise ValueError(f'a storage of {there} bytes cannot hold {needed}')
