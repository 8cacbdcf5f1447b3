"""A small checkpoint cannot cost much."""

import io
import pickle
import struct
import time
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer

from backbones.checkpoints import CheckpointError, read
from backbones.checkpoints.limits import ENTRIES, cost
from backbones.checkpoints.pickles import names_asked_for
from backbones.training.latest_checkpoint import read_whole


def archive(path: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    """A file of PyTorch with another pickle in it."""
    made = io.BytesIO()
    torch.save({}, made)
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(path, 'w', compression) as target:
        for name in source.namelist():
            target.writestr(name, pickled if name.endswith('data.pkl') else source.read(name))
    return path


def refused(path: Path) -> str:
    start = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        read(str(path))
    assert time.process_time() - start < 3
    return str(caught.value)


PAIRS = b'K\x01\x85' + b'2\x86' * 40  # a tuple of twice itself, 40 times
SAME = b'q\x000h\x00h\x00\x86'  # the same by the memo
CODED = b'X\x04\x00\x00\x00\xc3\xa4\xc3\xa4X\x08\x00\x00\x00punycode\x86R.'  # takes hours
NAME = b'cbuiltins\nbytearray\n'
COSTLY = {
    'tuples of tuples as a key': (b'\x80\x02}(' + PAIRS + b'K\x01u.', 'entries'),
    'tuples of tuples in a set': (b'\x80\x02cbuiltins\nset\n]' + PAIRS + b'a\x85R.', 'entries'),
    'tuples by the memo': (b'\x80\x02}(K\x01\x85' + SAME * 40 + b'K\x01u.', 'entries'),
    'nesting': (b'\x80\x02' + b']' * 1000 + b'a' * 999 + b'.', 'nested'),
    'nested tuples': (b'\x80\x02)' + b'\x85' * 100_000 + b'.', 'nested'),
    'a buffer of any size': (b'\x80\x02' + NAME + b'\x8a\x05\x00\x00\x00\x00\x10\x85R.', 'items'),
    'a storage': (b'\x80\x02ctorch\nFloatStorage\n\x8a\x05\x00\x00\x00\x00\x10\x85R.', 'items'),
    'an encoding': (b'\x80\x02c_codecs\nencode\n' + CODED, 'it uses the encoding'),
    'an encoding by a later protocol': (
        b'\x80\x04\x8c\x07_codecs\x8c\x06encode\x93' + CODED, 'it uses the encoding'),
    'an encoding of a buffer': (b'\x80\x02' + NAME + CODED, 'it uses the encoding'),
    'a number of an object': (b'\x80\x02}r\xff\xff\xff\x7f.', 'gives an object the number'),
}  # fmt: skip


@pytest.mark.parametrize('form', ['zip', 'zip without checksums', 'pickle'])
@pytest.mark.parametrize('name', COSTLY)
def test_a_pickle_that_costs_much_is_refused_at_once(name: str, form: str, tmp_path: Path) -> None:
    content, said = COSTLY[name]
    path = tmp_path / 'x.pth'
    if 'zip' in form:
        archive(path, content)
        if 'without' in form:
            with zipfile.ZipFile(path) as made:
                sums = [struct.pack('<I', entry.CRC) for entry in made.infolist()]
            for checksum in sums:
                path.write_bytes(path.read_bytes().replace(checksum, bytes(4)))
    else:
        path.write_bytes(content + bytes(8))
    assert said in refused(path)


@pytest.mark.parametrize(
    'content', [b'\x80\x02}X\1\0\0\0acx  y z\nf g\n', b'\x80\x04\x93.', b'\x80\x04\x8c\1a\x93.']
)
def test_a_name_of_no_function_is_refused(content: bytes, tmp_path: Path) -> None:
    assert refused(archive(tmp_path / 'x.pth', content))
    (tmp_path / 'old.pth').write_bytes(content + bytes(8))
    assert refused(tmp_path / 'old.pth')


@pytest.mark.parametrize('form', ['zip', 'pickle'])
def test_a_pickle_that_asks_for_more_bytes_than_there_are_is_refused(form, tmp_path) -> None:
    content = b'\x80\x04}\x8e' + b'\xff' * 6 + b'\x7f\0u.'  # a text of 2**55 bytes
    path = tmp_path / 'x.pth'
    if form == 'zip':
        archive(path, content)
    else:
        path.write_bytes(content + bytes(8))
    assert refused(path) and names_asked_for(path) == set()


def test_an_archive_that_unpacks_to_much_is_refused_before(tmp_path: Path) -> None:
    path = archive(tmp_path / 'x.pth', bytes(200 << 20), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    assert 'bytes expand to 20971' in refused(path)


@pytest.mark.parametrize('method', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_is_compressed_by_other_means_is_refused(method, tmp_path: Path) -> None:
    assert 'PyTorch never compresses' in refused(archive(tmp_path / 'x.pth', b'.', method))


def test_an_archive_whose_names_are_no_text_is_refused(tmp_path: Path) -> None:
    """In the first reader of the archive, and in each one after it."""
    path = archive(tmp_path / 'x.pth', b'\x80\x02}.')
    content = bytearray(path.read_bytes())
    entry = content.index(b'PK\1\2')  # in the directory at the end
    content[entry + 9] |= 8  # "the name is UTF-8"
    content[entry + 46] = 0x86
    path.write_bytes(content)
    assert 'damaged' in refused(path)
    with pytest.raises(CheckpointError, match='is damaged'):
        read_whole(path)
    assert names_asked_for(path) == set()


def test_an_archive_with_nonsense_at_its_end_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / 'x.pth', b'\x80\x02}.')
    content = path.read_bytes()
    end = content.rindex(b'PK\5\6')
    several = struct.pack('<4sLQL', b'PK\6\7', 0, 0, 99)  # the number of disks
    path.write_bytes(content[:end] + several + content[end:])
    assert 'damaged' in refused(path) and names_asked_for(path) == set()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_change_of_an_archive_is_read_or_refused(data, tmp_path_factory) -> None:
    path = archive(tmp_path_factory.getbasetemp() / 'any.pth', b'\x80\x02}.')
    content = bytearray(path.read_bytes())
    heads = [i for i in range(len(content) - 3) if content[i : i + 2] == b'PK']
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(heads)) + data.draw(st.integers(0, 60))
        content[min(place, len(content) - 1)] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert isinstance(read(str(path)), dict)
    except CheckpointError as error:
        assert str(error)


def test_a_tensor_that_repeats_a_number_is_refused(tmp_path: Path) -> None:
    torch.save(dict(state_dict={'a.b': torch.zeros(1).expand(10**6, 10**6)}), tmp_path / 'x.pth')
    assert 'state_dict.a.b is (1000000, 1000000), 4000000000000 bytes' in refused(
        tmp_path / 'x.pth'
    )


@pytest.mark.parametrize('protocol', [2, 4])
def test_what_trainers_write_costs_what_it_is(protocol: int) -> None:
    content = dict(
        state=[dict(step=i, shared=('a', 'b')) for i in range(5000)],
        log=HistoryBuffer([0.5] * 1000, [1] * 1000),
        nested=[[[[(1, 2), {3: (4,)}]]]],
        text='x' * 10**6,
        big=10**600,
    )
    made = pickle.dumps(content, protocol=protocol)
    assert cost(io.BytesIO(made), len(made)) == ''


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=60))
def test_any_bytes_are_looked_at(content: bytes) -> None:
    assert isinstance(cost(io.BytesIO(b'\x80\x02' + content), 62), str)


@settings(max_examples=60, deadline=None)
@given(
    content=st.recursive(
        st.integers() | st.text(max_size=3) | st.none() | st.binary(max_size=3),
        lambda part: (
            st.lists(part, max_size=4)
            | st.tuples(part, part)
            | st.dictionaries(st.text(max_size=2), part, max_size=3)
            | st.frozensets(st.integers(), max_size=3)
        ),
        max_leaves=30,
    )
)
def test_no_plain_data_is_refused(content: object) -> None:
    for protocol in range(5):
        made = pickle.dumps(content, protocol=protocol)
        assert cost(io.BytesIO(made), len(made)) == ''
    assert ENTRIES > 10**6
