"""Limits on the cost of reading a checkpoint: a small file must not need gigabytes or hours.

PyTorch stores tensors uncompressed, so the content is about as large as the file. Compressed
entries, tuples of tuples and tensors that repeat one number can expand to any size.
"""

import io
import pickletools
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from torch import Tensor, strided

from backbones.checkpoints.kinds import BAD_ZIP, is_zip, mapped
from backbones.errors import CheckpointError

RATIO, SPARE = 10, 16 << 20  # a zip archive's unpacked size over its file size, plus spare bytes
ENTRIES = 50_000_000  # entries of a pickle, counting repeated ones each time
DEPTH = 200  # depth of nested lists
PICKLES = 5  # PyTorch's older files are this many pickles, followed by the numbers
LARGE, TIMES = 1 << 30, 64  # a tensor is suspect with more bytes, and so many times its storage
ALLOCATING = ('bytearray', 'Tensor', 'Storage')  # endings of functions that take a size
# encodings that a call for bytes may name
LATIN: tuple[list[str], ...] = ([], ['latin1'], ['latin-1'])
CHANGING = ('APPEND', 'APPENDS', 'SETITEM', 'SETITEMS', 'ADDITEMS', 'BUILD')


def check_archive(path: Path, source: str) -> None:
    """Reject a zip archive that unpacks to far more bytes, or is oddly compressed.

    Raises:
        CheckpointError: it is either; nothing has been unpacked yet.
    """
    if not is_zip(path):
        return
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
            methods = {entry.compress_type for entry in archive.infolist()}
    except BAD_ZIP:
        return  # reading it reports the damage
    if total > RATIO * size + SPARE:
        raise _refusal(source, f'its {size} bytes expand to {total}')
    if methods - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise CheckpointError(f'{source} is rejected: PyTorch never compresses its parts this way')


def check_pickles(path: Path, source: str) -> None:
    """Reject pickles that would take far more memory or time than their size suggests.

    Raises:
        CheckpointError: says what is too large.
    """
    size, said = path.stat().st_size, ''
    if is_zip(path):
        try:
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    if entry.filename.endswith('data.pkl'):
                        said = said or cost(io.BytesIO(_content(path, archive, entry)), size)
        except BAD_ZIP as error:
            said = f'its content cannot be checked ({error})'
    else:
        with mapped(path) as file:
            for _ in range(PICKLES):
                said = said or cost(file, size)
    if said:
        raise _refusal(source, said)


def _content(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Read an entry without its checksum, which Python requires and PyTorch may not write.

    Raises:
        zipfile.BadZipFile: a compressed entry has no checksum.
    """
    if entry.compress_type != zipfile.ZIP_STORED:
        return archive.read(entry)
    with path.open('rb') as file:
        file.seek(entry.header_offset + 26)
        name, extra = struct.unpack('<HH', file.read(4))
        file.seek(name + extra, io.SEEK_CUR)
        return file.read(entry.file_size)


def _refusal(source: str, said: str) -> CheckpointError:
    return CheckpointError(
        f'{source} is rejected: {said}, more than weights need. Ask its author for a file of plain '
        'tensors, written by torch.save or safetensors'
    )


def check_tensors(content: object, source: str) -> None:
    """Reject tensors that have far more numbers than the file holds.

    Raises:
        CheckpointError: names the first such tensor.
    """
    for name, tensor in _tensors(content, '', DEPTH):
        if tensor.is_meta or tensor.layout is not strided or tensor.is_nested:
            continue
        claimed, held = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
        if claimed > LARGE and claimed > TIMES * held:
            raise CheckpointError(
                f'{source} is rejected: {name} is {tuple(tensor.shape)}, {claimed} bytes, but the '
                f'file holds only {held}'
            )


def _tensors(content: object, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, dict) and depth:
        for key, value in content.items():
            yield from _tensors(value, f'{name}.{key}'.lstrip('.'), depth - 1)
    elif isinstance(content, list | tuple) and depth:
        for i, value in enumerate(content):
            yield from _tensors(value, f'{name}.{i}', depth - 1)


class Cell:
    """Stands in for an object in a pickle: its size, and its value if that is small."""

    __slots__ = ('depth', 'size', 'value')

    def __init__(self, value: object = None) -> None:
        self.size, self.depth, self.value = 1, 0, value

    def add(self, parts: list['Cell']) -> None:
        for part in parts:
            self.size += part.size
            if part.depth >= self.depth:
                self.depth = part.depth + 1


def _taken(opcode: pickletools.OpcodeInfo) -> tuple[int, bool, bool]:
    """Return how many items an operation pops, whether down to a mark, and whether it pushes."""
    before = opcode.stack_before
    marked = pickletools.markobject in before
    number = before.index(pickletools.markobject) if marked else len(before)
    return number, marked, bool(opcode.stack_after)


TAKEN = {opcode.name: _taken(opcode) for opcode in pickletools.opcodes}
KEPT = {opcode.name for opcode in pickletools.opcodes if opcode.name.endswith('PUT')}
FETCHED = {opcode.name for opcode in pickletools.opcodes if opcode.name.endswith('GET')}


def cost(file: IO[bytes], size: int) -> str:
    """Read a pickle without creating any of its objects.

    Args:
        file: at the beginning of a pickle, afterwards at its end; see `mapped`.
        size: size of the whole file in bytes.

    Returns:
        What is too large in it, or ''. Damage is reported when the pickle is loaded.
    """
    stack: list[Cell | None] = []  # None is a mark
    memo: dict[object, Cell | None] = {}
    try:
        for opcode, argument, _ in pickletools.genops(file):
            name = opcode.name
            if name in KEPT or name == 'MEMOIZE':
                place = len(memo) if argument is None else argument
                if not 0 <= place <= size:
                    return f'it gives an object the number {place}'
                memo[place] = stack[-1]
            elif name in FETCHED:
                stack.append(memo[argument])
            elif name == 'MARK':
                stack.append(None)
            elif name == 'DUP':
                stack.append(stack[-1])
            elif said := _step(name, argument, stack):
                return said
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OSError, EOFError):
        return ''
    return ''


def _step(name: str, argument: object, stack: list[Cell | None]) -> str:
    """Simulate an operation that creates or changes an object; return what is too large, or ''."""
    number, marked, adds = TAKEN[name]
    parts: list = []
    if marked:
        start = len(stack) - 1
        while stack[start] is not None:
            start -= 1
        parts = stack[start + 1 :]
        del stack[start:]
    if number:
        parts = stack[-number:] + parts
        del stack[-number:]
    if not adds:
        return ''
    cell = parts[0] if name in CHANGING else Cell(_small(name, argument, parts))
    stack.append(cell)
    if not parts:
        return ''
    cell.add(parts[1:] if name in CHANGING else parts)
    if name in ('REDUCE', 'NEWOBJ') and (said := _demand(parts)):
        return said
    if cell.size > ENTRIES:
        return f'its lists expand to more than {ENTRIES} entries'
    return f'its lists are nested more than {DEPTH} levels deep' if cell.depth > DEPTH else ''


def _small(name: str, argument: object, parts: list[Cell]) -> object:
    """Return a number, a short text, or a tuple of a few of them; None for anything else."""
    if parts:
        if name.startswith('TUPLE'):
            return [part.value for part in parts[:9]]
        words = [str(part.value) for part in parts]
        return ' '.join(words) if name == 'STACK_GLOBAL' else None
    short = isinstance(argument, int) or (isinstance(argument, str) and len(argument) < 300)
    return argument if short else None


def _demand(parts: list[Cell]) -> str:
    """Return what a call costs beyond its arguments: a large allocation, or a slow encoding."""
    called, *arguments = parts
    values = arguments[0].value if arguments and isinstance(arguments[0].value, list) else []
    name = str(called.value).replace(' ', '.')
    large = [n for n in values if isinstance(n, int) and n > SPARE]
    if large and name.endswith(ALLOCATING):
        return f'it asks {name} for {large[0]} items'
    # pickles write bytes this way; other encodings, such as punycode, take hours
    if name.endswith(('.encode', '.bytearray')) and values[1:] not in LATIN:
        return f'it uses the encoding {values[1:]}'
    return ''
