"""Inspecting a file costs only reading its header, whatever size it claims."""

import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_data import make_coco, make_masks, noise
from PIL import Image

from backbones.cli import check_data
from backbones.data.files.images import image_facts, label_facts
from backbones.data.files.parallel import large_images
from backbones.errors import UnreadableError
from backbones.inference.reading import read_image


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack('>I', len(content))
        + kind
        + content
        + struct.pack('>I', zlib.crc32(kind + content))
    )


def claims(path: Path, width: int, height: int, *, data: bytes = b'') -> Path:
    """Write a PNG whose header claims this size."""
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b'IHDR', header), chunk(b'IDAT', zlib.compress(data)), chunk(b'IEND', b'')]
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(parts))
    return path


@pytest.mark.parametrize('decode', [True, False])
@pytest.mark.parametrize('look', [image_facts, label_facts])
def test_a_header_that_claims_too_much_is_one_files_fault(look, decode, tmp_path: Path) -> None:
    path = claims(tmp_path / 'x.png', 60_000, 60_000)
    start = time.process_time()
    with large_images():
        fact = look(path, decode=decode)
    assert (fact.fault, fact.detail) == ('too-many-pixels', '60000x60000')
    assert time.process_time() - start < 0.5


def test_the_others_are_checked(tmp_path: Path) -> None:
    root = make_coco(tmp_path / 'data')
    claims(root / 'train/Bäume 1.png', 60_000, 60_000)
    (root / 'train/Bäume 2.png').write_bytes(b'')
    report = check_data.check(str(root))
    kinds = {fault.kind for fault in report.faults.errors}
    assert {'too-many-pixels', 'empty-file'} <= kinds
    assert report.counts['train']['sizes: smallest, median, largest'] == '64x48, 64x48, 64x48'


def test_a_label_map_that_claims_too_much(tmp_path: Path) -> None:
    root = make_masks(tmp_path / 'data')
    claims(root / 'masks/train/0.png', 60_000, 60_000)
    assert 'too-many-pixels' in {f.kind for f in check_data.check(str(root)).faults.errors}


def test_a_prediction_names_the_image(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match='too many pixels'):
        read_image(claims(tmp_path / 'x.png', 60_000, 60_000))


def test_a_header_is_read_without_decoding(tmp_path: Path, monkeypatch) -> None:
    """A PNG of 900 megapixels is inspected in no time; EXIF after the pixels is found."""
    path = claims(tmp_path / 'x.png', 30_000, 30_000)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = path.read_bytes()
    path.write_bytes(content[:-12] + chunk(b'eXIf', exif.tobytes()[6:]) + content[-12:])
    monkeypatch.setattr('PIL.PngImagePlugin.PngImageFile.load', None)
    with large_images():
        fact = image_facts(path, decode=False)
    assert fact.turned and not fact.fault and fact.size == (30_000, 30_000)


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_the_orientation_of_a_png_is_that_of_opencv(orientation: int, tmp_path: Path) -> None:
    import cv2

    path = tmp_path / 'x.png'
    noise(path)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)
    fact = image_facts(path, decode=False)
    assert fact.turned == (orientation > 1)
    assert fact.size == cv2.imread(str(path)).shape[1::-1]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_mutated_file_is_a_fault_or_an_image(data, tmp_path_factory) -> None:
    kind = data.draw(st.sampled_from(['png', 'jpg', 'tif', 'webp', 'bmp']))
    source = tmp_path_factory.getbasetemp() / f'source.{kind}'
    if not source.exists():
        Image.fromarray(np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)).save(source)
    content = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content) - 1, 200)))] = data.draw(
            st.integers(0, 255)
        )
    path = source.with_name(f'mutated.{kind}')
    path.write_bytes(content)
    with large_images():
        for decode in (True, False):
            fact = image_facts(path, decode=decode)
            assert fact.fault or min(fact.size) > 0
            label_facts(path, decode=decode)
