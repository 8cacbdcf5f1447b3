"""What the pickle in a PyTorch file may call: stand-ins that keep numbers at most."""

import contextlib
import pickletools
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import torch

from backbones.checkpoints.arrays import Dropped, Kind, Log, Numbers, scalar

# allowed functions that call, or fetch, what they are given
CALLING = {'builtins.getattr', 'torch._tensor._rebuild_from_type_v2'}


class RefusedCall(Exception):
    """A call that a file asked for; the message is the function's name."""


def _method_of_log(owner: object, name: str) -> type[Dropped]:
    """Stand in for `getattr`, by which a HistoryBuffer names its own four statistics."""
    if owner is not Log or name not in ('min', 'max', 'mean', 'current'):
        raise RefusedCall('builtins.getattr')
    return Dropped


# what files hold beside tensors, by the names that they have for it
STAND_INS: dict[str, Callable] = {
    # arguments and configs of trainers; dicts stay dicts, since their items are set one by one
    'argparse.Namespace': Dropped,
    **dict.fromkeys(('pathlib.Path', 'pathlib.PosixPath', 'pathlib.WindowsPath'), Dropped),
    **dict.fromkeys(
        (
            *('yacs.config.CfgNode', 'fvcore.common.config.CfgNode', 'easydict.EasyDict'),
            *('mmcv.utils.config.ConfigDict', 'mmengine.config.config.ConfigDict'),
            'addict.addict.Dict',
        ),
        OrderedDict,
    ),
    # numbers and arrays of numpy 1 and 2
    'numpy.ndarray': Dropped,
    'numpy.dtype': Kind,
    **{f'numpy.{core}.multiarray.scalar': scalar for core in ('core', '_core')},
    **{f'numpy.{core}.multiarray._reconstruct': Numbers for core in ('core', '_core')},
    # MMEngine's logs
    'mmengine.logging.history_buffer.HistoryBuffer': Log,
    'builtins.getattr': _method_of_log,
    'builtins.slice': Dropped,
}


@contextlib.contextmanager
def only_stand_ins() -> Iterator[None]:
    """Let `torch.load` call PyTorch's own rebuilders and the stand-ins, and nothing else.

    What other code of this process has allowed PyTorch to call is not allowed here.
    """
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with torch.serialization.safe_globals([(f, name) for name, f in STAND_INS.items()]):
            yield
    finally:
        torch.serialization.add_safe_globals(before)


def allowed() -> set[str]:
    from torch import _weights_only_unpickler as unpickler

    return {*STAND_INS, *unpickler._get_allowed_globals()}


def names_asked_for(path: Path) -> set[str]:
    """The functions and classes that a file's pickles name, as far as they can be read."""
    names: set[str] = set()
    # of a damaged pickle, what was read so far counts
    with contextlib.suppress(ValueError, OSError, EOFError, LookupError, zipfile.BadZipFile):
        if zipfile.is_zipfile(path):
            archive = zipfile.ZipFile(path)
            for part in (n for n in archive.namelist() if n.endswith('data.pkl')):
                _collect_names(archive.open(part), names)
        else:
            with path.open('rb') as file:
                while True:  # PyTorch's older files are several pickles in a row
                    _collect_names(file, names)
    return names


def _collect_names(file: IO[bytes], names: set[str]) -> None:
    # enough of the pickle machine to know a STACK_GLOBAL's two strings
    pushed: list[object] = []
    memo: dict[object, list[object]] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ('GLOBAL', 'INST'):
            names.add(_today(*str(argument).split(' ')))
        elif opcode.name == 'STACK_GLOBAL':
            names.add(_today(*map(str, pushed[-2:])))
        elif opcode.name == 'MEMOIZE':
            memo[len(memo)] = pushed[-1:]
        elif opcode.name.endswith('PUT'):
            memo[argument] = pushed[-1:]
        elif opcode.name.endswith('GET'):
            pushed += memo.get(argument, [])
        elif opcode.name != 'FRAME':
            pushed.append(argument)


def _today(module: str, name: str) -> str:
    """Python 3's name of what a pickle of Python 2's protocols names."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f'{module}.{name}'
