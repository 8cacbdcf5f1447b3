"""The reader of PyTorch's files: the same numbers as torch.load, without side effects."""

import pickle
import struct
import threading
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backbones.checkpoints import CheckpointError, read
from backbones.checkpoints.pickles import ALLOWED
from backbones.checkpoints.torch_files import MAGIC, PROTOCOL

BASE = torch.arange(24, dtype=torch.float32)
CONTENT = {
    'views': {'a': BASE[2:8], 'b': BASE.view(4, 6).t(), 'c': BASE[::5]},
    'scalars and nothing': {'a': torch.tensor(3.5), 'b': torch.zeros(0), 'c': torch.zeros(2, 0)},
    'types': {
        str(dtype): torch.arange(6).to(dtype)
        for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
                      torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64,
                      torch.complex128, torch.float8_e4m3fn)
    },
    'parameters': {'a': nn.Parameter(BASE), 'b': nn.Parameter(BASE[:2], requires_grad=False)},
    'attributes': {'a': torch.ones(2)},
    'ordered': OrderedDict(a=torch.ones(2), n=Counter('abb')),
    'values': {
        'size': torch.Size([2, 3]), 'device': torch.device('cpu'), 'dtype': torch.float16,
        'layout': torch.strided, 'set': {1, 2}, 'bytes': b'\xff\x00', 'complex': 1j, 'big': 1 << 70,
        'text': 'Größe', 'none': None, 'nested': [(1, 2.5, True), {'x': []}],
    },
}  # fmt: skip
CONTENT['attributes']['a'].note = 'kept by nobody'


def same(a: object, b: object) -> bool:
    if isinstance(a, dict):
        return type(a) is type(b) and [*a] == [*b] and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, Tensor):
        facts = [(x.dtype, x.shape, x.stride(), isinstance(x, nn.Parameter)) for x in (a, b)]
        bits = [x.detach().contiguous().view(-1).view(torch.uint8) for x in (a, b)]
        return facts[0] == facts[1] and a.requires_grad == b.requires_grad and torch.equal(*bits)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize('form', ['zip', 'old'])
@pytest.mark.parametrize('kind', CONTENT)
def test_a_file_is_read_as_it_was_saved(kind: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / 'x.pth'
    content = CONTENT[kind]
    if form == 'old' and kind == 'types':  # that format has no other types
        content = {k: v for k, v in content.items() if 'float8' not in k}
    torch.save(content, path, _use_new_zipfile_serialization=form == 'zip')
    assert same(read(str(path)), content)


def test_tensors_that_share_their_numbers_do_so_after_reading(tmp_path: Path) -> None:
    for form in (True, False):
        torch.save(CONTENT['views'], tmp_path / 'x.pth', _use_new_zipfile_serialization=form)
        file = read(str(tmp_path / 'x.pth'))
        file['a'][0] = 99
        assert file['b'][2, 0] == 99 and file['b'].t().is_contiguous()


@pytest.mark.parametrize('order', ['little', 'big'])
def test_the_order_of_bytes_is_the_files(order: str, tmp_path: Path) -> None:
    new, path = tmp_path / 'new.pth', tmp_path / 'x.pth'
    torch.save({'a': torch.tensor([1.5, -2.0])}, new)
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(path, 'w') as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith('byteorder'):
                content = order.encode()
            if name.endswith('/data/0'):
                content = struct.pack(f'{"<" if order == "little" else ">"}2f', 1.5, -2.0)
            target.writestr(name, content)
    assert read(str(path))['a'].tolist() == [1.5, -2.0]


class Mine:
    pass


def test_other_threads_read_their_files_meanwhile(tmp_path: Path) -> None:
    own, ours = tmp_path / 'own.pth', tmp_path / 'ours.pth'
    torch.save({'a': Mine()}, own)
    torch.save({f'layer.{i}': torch.zeros(3) for i in range(500)}, ours)
    refused, done = [], threading.Event()

    def other() -> None:
        while not done.is_set():
            try:
                torch.load(own, weights_only=True)
            except pickle.UnpicklingError as error:
                refused.append(error)

    torch.serialization.add_safe_globals([Mine])
    try:
        before = list(torch.serialization.get_safe_globals())
        thread = threading.Thread(target=other)
        thread.start()
        for _ in range(10):
            assert len(read(str(ours))) == 500
        done.set()
        thread.join()
        assert not refused and torch.serialization.get_safe_globals() == before
    finally:
        torch.serialization.clear_safe_globals()


# --- pickles that no `torch.save` writes ----------------------------------------------------------


def old_file(path: Path, content: bytes) -> str:
    """A file of the older format with `content` as its pickle."""
    start = [pickle.dumps(x, 2) for x in (MAGIC, PROTOCOL, {})]
    path.write_bytes(b''.join([*start, content, pickle.dumps([], 2)]))
    return str(path)


def put(value: object) -> bytes:
    """Return the operations that put a value on the stack."""
    return pickle.dumps(value, 2)[2:-1]


def named(name: str) -> bytes:
    """Return the operation that looks up a name."""
    module, _, attribute = name.rpartition('.')
    return b'c' + f'{module}\n{attribute}\n'.encode()


STATE = put(({'__doc__': 'changed'}, {'changed': 1}))


@pytest.mark.parametrize('name', sorted(ALLOWED))
def test_no_pickle_changes_what_a_name_leads_to(name: str, tmp_path: Path) -> None:
    """BUILD sets attributes of anything below it, including functions and classes."""
    target = ALLOWED[name]
    before = repr(getattr(target, '__dict__', None)), target.__doc__
    content = b'\x80\x02}' + put('a') + named(name) + STATE + b'bs.'
    assert read(old_file(tmp_path / 'x.pth', content))['a'] is target
    assert (repr(getattr(target, '__dict__', None)), target.__doc__) == before


ODD = {
    'items of an allowed class': named('builtins.set') + b')R' + put(1) + b'a',
    'entries of a list': b']' + put('k') * 2 + b's',
    'a call of a dtype': named('torch.float32') + b')R',
    'a call of a string': put('eval') + b')R',
    'a new object of a dtype': named('torch.float32') + b')\x81',
    'a name of two strings': put('os') + put('system') + b'\x93',
    'an instance': b'(ios\nsystem\n',
    'an extension': b'\x82\x01',
    'a reference by text': b'Pstorage\n',
    'a reference to no storage': put(('module', 1)) + b'Q',
}  # fmt: skip


@pytest.mark.parametrize('kind', ODD)
def test_other_operations_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        read(old_file(tmp_path / 'x.pth', b'\x80\x02' + ODD[kind] + b'.'))


def storage(count: int, *view: object) -> bytes:
    """Return the operations that make a tensor of `count` numbers in a storage of the file."""
    reference = b'(' + put('storage') + named('torch.FloatStorage')
    rest = [put(x) for x in ('0', 'cpu', count, tuple(view) or None)]
    size = put((4,))
    rebuild = named('torch._utils._rebuild_tensor_v2') + b'('
    return rebuild + reference + b''.join(rest) + b'tQK\x00' + size + put((1,)) + b'\x89}tR'


@pytest.mark.parametrize(
    'count, view',
    [(1 << 50, ()), (-4, ()), (2, ()), (4, ('v', 1 << 40, 4)), (4, ('v', -2, 4)), (4, ('v', 0, 2))],
)
def test_no_tensor_reaches_beyond_its_storage(count: int, view: tuple, tmp_path: Path) -> None:
    path = Path(old_file(tmp_path / 'x.pth', b'\x80\x02}' + put('a')
                         + storage(count, *view) + b's.'))  # fmt: skip
    path.write_bytes(path.read_bytes() + bytes(64))
    with pytest.raises(CheckpointError, match='truncated or damaged'):
        read(str(path))


def test_a_storage_shorter_than_its_tensor_is_damage(tmp_path: Path) -> None:
    torch.save({'a': torch.ones(8)}, tmp_path / 'new.pth')
    with zipfile.ZipFile(tmp_path / 'new.pth') as source:
        parts = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(tmp_path / 'x.pth', 'w') as target:
        for name, content in parts.items():
            target.writestr(name, content[:16] if name.endswith('/data/0') else content)
    with pytest.raises(CheckpointError, match='truncated or damaged'):
        read(str(tmp_path / 'x.pth'))
