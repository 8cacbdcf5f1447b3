"""A cached download is the file that was fetched, and the intended one."""

import functools
import hashlib
import io
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import torch

from backbones import CloFormer
from backbones.checkpoints import CheckpointError, fetch, read
from backbones.variants import Variant


@pytest.fixture
def web(tmp_path: Path, monkeypatch) -> dict[str, bytes]:
    """What each URL answers, instead of the network; the cache is empty."""
    answers: dict[str, bytes] = {}
    monkeypatch.setattr('torch.hub.get_dir', lambda: str(tmp_path / 'cache'))

    def download(url: str, path: str) -> None:
        Path(path).write_bytes(answers[url])

    monkeypatch.setattr('torch.hub.download_url_to_file', download)
    return answers


def weights(value: float) -> bytes:
    made = io.BytesIO()
    torch.save(dict(x=torch.full((3,), value)), made)
    return made.getvalue()


ONE, TWO = 'https://a.example/one/model.pth?x=1', 'https://a.example/two/model.pth'


def test_two_addresses_with_one_file_name_are_two_files(web: dict[str, bytes]) -> None:
    web |= {ONE: weights(1), TWO: weights(2), ONE.replace('x=1', 'x=2'): weights(3)}
    found = {url: float(read(url)['x'][0]) for url in [*web, *web]}
    assert [*found.values()] == [1, 2, 3]


def test_a_kept_file_that_has_changed_is_refused(web: dict[str, bytes]) -> None:
    web[ONE] = weights(1)
    read(ONE)
    path = fetch.cached(ONE)
    assert path.name == 'model.pth' and path.with_name('model.pth.sha256').is_file()
    path.write_bytes(weights(2))
    with pytest.raises(CheckpointError, match=r'has changed since it was fetched.*remove both'):
        read(ONE)


@pytest.mark.parametrize('name', ['model-00ab0000.pth', 'model-20230101.pth', 'model-abc.pth'])
def test_a_name_with_digits_of_the_checksum_is_compared(name: str, web: dict[str, bytes]) -> None:
    url = f'https://a.example/{name}'
    web[url] = weights(1)
    if name == 'model-00ab0000.pth':
        with pytest.raises(CheckpointError, match='not the expected file'):
            read(url)
        assert not fetch.cached(url).exists()
    else:
        assert read(url)['x'].sum() == 3


@pytest.fixture
def server(tmp_path: Path, monkeypatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which a local web server serves it."""
    monkeypatch.setattr('torch.hub.get_dir', lambda: str(tmp_path / 'cache'))
    folder = tmp_path / 'shown'
    folder.mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f'http://127.0.0.1:{running.server_port}'
        running.shutdown()


def test_the_row_of_a_variant_may_name_the_checksum_of_its_weights(server) -> None:
    folder, address = server
    row = CloFormer.ARCHS['xxs']
    torch.save(CloFormer('xxs').state_dict(), folder / 'a.pth')
    digits = hashlib.sha256((folder / 'a.pth').read_bytes()).hexdigest()

    def load(digits: str) -> None:
        weights = f'{address}/a.pth#sha256={digits}'
        settings = Variant(weights=weights, **row).of(CloFormer, 'xxs', 'a').settings()
        del settings['type']
        CloFormer(**settings).init_weights()

    other = digits[:-1] + ('0' if digits[-1] != '0' else '1')
    with pytest.raises(CheckpointError, match=rf'is not the expected file: .* {other}'):
        load(other)
    path = fetch.cached(f'{address}/a.pth')
    assert not path.exists(), 'a wrong file is not kept'
    load(digits)
    (folder / 'a.pth').unlink()
    load(digits)  # from the cache
    with pytest.raises(CheckpointError, match=rf'its SHA-256 is {digits}, not {other}'):
        load(other)
    path.write_bytes(path.read_bytes() + b'x')
    with pytest.raises(CheckpointError, match='has changed since it was fetched'):
        load(digits)
    with pytest.raises(CheckpointError, match='has 64 digits'):
        load('abc')


def test_a_file_of_the_hub_that_has_changed_is_refused(tmp_path: Path, monkeypatch) -> None:
    """In the hub's cache, a large file is named by its SHA-256, and a link has the file's name."""
    content = weights(1)
    blob = tmp_path / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    (tmp_path / 'model.bin').symlink_to(blob)
    monkeypatch.setattr(
        huggingface_hub, 'hf_hub_download', lambda *args, **more: str(tmp_path / 'model.bin')
    )
    assert read('hf-hub:o/r/model.bin')['x'].sum() == 3
    blob.write_bytes(weights(2))
    with pytest.raises(CheckpointError, match=rf'has changed .* remove {blob}'):
        read('hf-hub:o/r/model.bin')


@pytest.mark.parametrize(
    'url', ['https://a.example/', 'https://a.example/../../x', 'http://a/b?c/d', 'http://a/..']
)
def test_an_address_names_a_file_in_the_cache(url: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr('torch.hub.get_dir', lambda: str(tmp_path))
    assert fetch.cached(url).resolve().is_relative_to(tmp_path / 'checkpoints')
