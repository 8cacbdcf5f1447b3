"""The functions that a pickle in a PyTorch file may call: our own rebuilders and stand-ins."""

import contextlib
import pickle
import pickletools
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar

import torch

from backbones.checkpoints.arrays import Dropped, Log, NumberKind, Numbers, scalar
from backbones.checkpoints.kinds import BAD_ZIP, is_zip, mapped
from backbones.checkpoints.rebuilders import REBUILDERS, VALUES, Kind, layout


class RefusedCall(Exception):
    """A file asked for a forbidden call; the message is the function's name."""


def _method_of_log(owner: object, name: str) -> type[Dropped]:
    """Stand in for `getattr`, with which a HistoryBuffer names its four statistics."""
    if owner is not Log or name not in ('min', 'max', 'mean', 'current'):
        raise RefusedCall('builtins.getattr')
    return Dropped


# names of objects in files that are not tensors, and what replaces them
STAND_INS: dict[str, Callable] = {
    # arguments and configs of trainers; dicts stay dicts, since their items are set one by one
    'argparse.Namespace': Dropped,
    **dict.fromkeys(
        (
            f'{module}.{name}'
            for module in ('pathlib', 'pathlib._local')  # the latter is for Python 3.13
            for name in ('Path', 'PosixPath', 'WindowsPath')
        ),
        Dropped,
    ),
    **dict.fromkeys(
        (
            *('yacs.config.CfgNode', 'fvcore.common.config.CfgNode', 'easydict.EasyDict'),
            *('mmcv.utils.config.ConfigDict', 'mmengine.config.config.ConfigDict'),
            'addict.addict.Dict',
        ),
        OrderedDict,
    ),
    # numbers and arrays of NumPy 1 and 2
    'numpy.ndarray': Dropped,
    'numpy.dtype': NumberKind,
    **{f'numpy.{core}.multiarray.scalar': scalar for core in ('core', '_core')},
    **{f'numpy.{core}.multiarray._reconstruct': Numbers for core in ('core', '_core')},
    # MMEngine's logs
    'mmengine.logging.history_buffer.HistoryBuffer': Log,
    'builtins.getattr': _method_of_log,
    'builtins.slice': Dropped,
}


def _bytes(text: str, encoding: str) -> bytes:
    """Stand in for `codecs.encode`, with which Python writes bytes in these pickles."""
    if encoding != 'latin1':
        raise RefusedCall('_codecs.encode')
    return text.encode(encoding)


def _with_attributes(function: object, kind: type, arguments: tuple, state: object) -> object:
    """Stand in for the rebuilder of tensors with attributes or a class, and drop those."""
    return _call(function, arguments)


def _call(function: object, arguments: tuple) -> object:
    if not any(function is known for known in CALLABLES.values()):
        raise pickle.UnpicklingError(f'a call of a {type(function).__name__}')
    return function(*arguments)  # type: ignore[operator]


CALLABLES: dict[str, Callable] = {
    **STAND_INS,
    **REBUILDERS,
    'torch._tensor._rebuild_from_type_v2': _with_attributes,
    'collections.OrderedDict': OrderedDict,
    'collections.Counter': Counter,
    'torch.Size': torch.Size,
    'torch.device': torch.device,
    'torch.serialization._get_layout': layout,
    '_codecs.encode': _bytes,
    'builtins.bytearray': bytearray,
    'builtins.set': set,
    'builtins.complex': complex,
}
ALLOWED: dict[str, Any] = {**CALLABLES, **VALUES}
# operations other than calls that `torch.save` writes; no others are supported
OPCODES = (
    *('GLOBAL', 'MARK', 'TUPLE', 'EMPTY_TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3', 'NONE', 'NEWTRUE'),
    *('NEWFALSE', 'EMPTY_LIST', 'EMPTY_DICT', 'EMPTY_SET', 'BINPERSID', 'BININT', 'BININT1'),
    *('BININT2', 'BINFLOAT', 'BINUNICODE', 'SHORT_BINSTRING', 'LONG1', 'BINGET', 'LONG_BINGET'),
    *('BINPUT', 'LONG_BINPUT', 'PROTO', 'STOP'),
)


class Reader(pickle._Unpickler):
    """Python's unpickler, restricted to names in `ALLOWED` and calls of `CALLABLES`.

    Args:
        file: at the start of a pickle, afterwards at its end.
        storage: creates a `Storage` from a file's description of it.
    """

    stack: list[Any]  # these two belong to Python's unpickler
    pop_mark: Callable[[], list]

    def __init__(self, file: IO[bytes], storage: Callable | None = None) -> None:
        super().__init__(file, encoding='utf-8')
        self.storage = storage

    def find_class(self, module: str, name: str) -> Any:
        found = ALLOWED.get(_today(module, name))
        if found is None:
            raise pickle.UnpicklingError(f'{module}.{name}')
        return found

    def persistent_load(self, pid: Any) -> object:
        name, kind, *rest = pid
        if name != 'storage' or self.storage is None or not isinstance(kind, Kind):
            raise pickle.UnpicklingError('a reference to something other than a storage')
        return self.storage(kind, *rest)

    def reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = _call(self.stack[-1], arguments)

    def build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Dropped):  # a stand-in keeps at most plain numbers
            self.stack[-1].__setstate__(state)

    def append_item(self) -> None:
        item = self.stack.pop()
        self._list().append(item)

    def append_items(self) -> None:
        items = self.pop_mark()
        self._list().extend(items)

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._dict()[key] = value

    def set_items(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._dict()[key] = value

    def _list(self) -> list:
        if type(self.stack[-1]) is not list:
            raise pickle.UnpicklingError(f'items of a {type(self.stack[-1]).__name__}')
        return self.stack[-1]

    def _dict(self) -> dict:
        if type(self.stack[-1]) not in (dict, OrderedDict, Counter):
            raise pickle.UnpicklingError(f'entries of a {type(self.stack[-1]).__name__}')
        return self.stack[-1]

    dispatch: ClassVar[dict[int, Any]] = {
        code: pickle._Unpickler.dispatch[code]
        for code in (getattr(pickle, name)[0] for name in OPCODES)
    }
    dispatch |= {
        pickle.NEWOBJ[0]: reduce,
        pickle.REDUCE[0]: reduce,
        pickle.BUILD[0]: build,
        pickle.APPEND[0]: append_item,
        pickle.APPENDS[0]: append_items,
        pickle.SETITEM[0]: set_item,
        pickle.SETITEMS[0]: set_items,
    }


def names_asked_for(path: Path) -> set[str]:
    """Return the functions and classes that a file's pickles name, up to any damage."""
    names: set[str] = set()
    # for a damaged pickle, the names read so far count
    with contextlib.suppress(*BAD_ZIP):
        if is_zip(path):
            archive = zipfile.ZipFile(path)
            for part in (n for n in archive.namelist() if n.endswith('data.pkl')):
                _collect_names(archive.open(part), names)
        else:
            with mapped(path) as file:
                while True:  # PyTorch's older files are several pickles in a row
                    _collect_names(file, names)
    return names


def _collect_names(file: IO[bytes], names: set[str]) -> None:
    # just enough of the pickle machine to find a STACK_GLOBAL's two strings
    pushed: list[object] = []
    memo: dict[object, list[object]] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ('GLOBAL', 'INST'):
            module, _, name = str(argument).partition(' ')
            names.add(_today(module, name))
        elif opcode.name == 'STACK_GLOBAL':
            module, name = map(str, pushed[-2:])
            names.add(_today(module, name))
        elif opcode.name == 'MEMOIZE':
            memo[len(memo)] = pushed[-1:]
        elif opcode.name.endswith('PUT'):
            memo[argument] = pushed[-1:]
        elif opcode.name.endswith('GET'):
            pushed += memo.get(argument, [])
        elif opcode.name != 'FRAME':
            pushed.append(argument)


def _today(module: str, name: str) -> str:
    """Return Python 3's name for a name in Python 2's pickle protocols."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f'{module}.{name}'
