"""The example data, extracted from packages without executing anything in them."""

import io
import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import load_tool, tool
from PIL import Image

example = load_tool('make_example')
SIDE = example.TREE_SIDE
XML = '<annotation>{}</annotation>'
OBJECT = (
    '<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>'
    '</bndbox></object>'
)


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Packages with the same names whose photographs are one and a half tiles wide."""
    rng = np.random.default_rng(0)
    width, height = SIDE * 3 // 2, SIDE
    # in one tile; half in each of two adjacent tiles; a tenth in the second
    middle = width // 2
    trees = [(11, 11, 20, 30), (middle - 9, 50, middle + 10, 60), (middle - 17, 90, middle + 2, 99)]
    with zipfile.ZipFile(tmp_path / 'deepforest-2.1.0-py3-none-any.whl', 'w') as wheel:
        for name in (*example.TRAINED_ON, example.HELD_OUT):
            pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
            wheel.writestr(f'deepforest/data/{name}.png', encoded(pixels, 'png'))
            objects = ''.join(OBJECT.format('Dead', *box) for box in trees)
            wheel.writestr(f'deepforest/data/{name}.xml', XML.format(objects))
    image = rng.integers(0, 236, (512, 512)).astype(np.uint16)
    with zipfile.ZipFile(tmp_path / 'stardist-0.9.2-cp311-x.whl', 'w') as wheel:
        wheel.writestr('stardist/data/images/img2d.tif', encoded(image, 'tiff'))
        nuclei = np.zeros((512, 512), np.uint16)  # 16 x 16 squares
        for i in range(256):
            top, left = 32 * (i // 16), 32 * (i % 16)
            nuclei[top : top + 16, left : left + 16] = i + 1
        wheel.writestr('stardist/data/images/mask2d.tif', encoded(nuclei, 'tiff'))
    return tmp_path


def test_boxes_are_cut_with_their_tiles_and_slivers_marked_as_crowds(wheels: Path) -> None:
    said = tool('make_example', 'trees', '--out', wheels / 'trees')
    assert 'train 6 tiles' in said and 'val 2 tiles with 4 boxes' in said
    val = json.loads((wheels / 'trees/annotations/val.json').read_text())
    assert [c['name'] for c in val['categories']] == ['tree']
    boxes = {(a['image_id'], *a['bbox']): a['iscrowd'] for a in val['annotations']}
    left = 240 - 10  # pixels from 0
    assert boxes == {
        (0, 10, 10, 10, 20): 0,
        (0, left, 49, 10, 11): 0,
        (1, 0, 49, 10, 11): 0,
        (0, left - 8, 89, 18, 10): 0,
        (1, 0, 89, 2, 10): 1,
    }
    for image in val['images']:
        tile = Image.open(wheels / 'trees/val' / image['file_name'])
        assert tile.size == (image['width'], image['height']) == (240, SIDE)
    assert Image.open(wheels / 'trees/held_out.png').size == (480, SIDE)


def test_check_data_finds_no_fault_in_either(wheels: Path) -> None:
    for name in example.PACKAGES:
        tool('make_example', name, '--out', wheels / name)
        assert '0 errors' in tool('check_data', wheels / name)


def test_nuclei_become_one_class_and_no_pixel_is_in_both_splits(wheels: Path) -> None:
    assert 'train 35 tiles, val 4 tiles' in tool('make_example', 'nuclei', '--out', wheels / 'n')
    tiles = {s: sorted((wheels / 'n/masks' / s).glob('*.png')) for s in ('train', 'val')}
    assert {v for p in tiles['train'] for v in np.unique(Image.open(p))} == {0, 1}
    whole = np.asarray(Image.open(wheels / 'n/held_out.png'))
    assert whole.shape == (512, 128) and whole.dtype == np.uint8 and whole.max() <= 235


def test_nuclei_become_instances(wheels: Path) -> None:
    out = wheels / 'i'
    said = tool('make_example', 'nuclei_instances', '--out', out)
    assert 'train 35 tiles with 560 nuclei, val 4 tiles with 64 nuclei' in said
    val = json.loads((out / 'annotations/val.json').read_text())
    assert {(*a['bbox'][2:], a['area'], a['iscrowd']) for a in val['annotations']} == {
        (16, 16, 256, 0)
    }


def test_overlapping_tiles_cover_a_large_and_a_small_image_once_at_the_end() -> None:
    assert list(example.tiles(10, 4, 4, overlap=True)) == [(x, 0, x + 4, 4) for x in (0, 2, 4, 6)]
    assert list(example.tiles(10, 4, 4, overlap=False)) == [
        (0, 0, 3, 4), (3, 0, 7, 4), (7, 0, 10, 4)
    ]  # fmt: skip


def test_a_second_call_does_nothing_and_an_interrupted_one_is_redone(wheels: Path) -> None:
    out = wheels / 'nuclei'
    (wheels / 'nuclei.partial').mkdir()
    tool('make_example', 'nuclei', '--out', out)
    times = {p: p.stat().st_mtime_ns for p in out.rglob('*')}
    assert 'already exists' in tool('make_example', 'nuclei', '--out', out)
    assert {p: p.stat().st_mtime_ns for p in out.rglob('*')} == times


def test_a_download_that_fails_says_what_to_do(tmp_path: Path, monkeypatch) -> None:
    failed = subprocess.CompletedProcess([], 1, '', 'ERROR: no network\n')
    monkeypatch.setattr(subprocess, 'run', lambda *command, **options: failed)
    said = tool('make_example', 'trees', '--out', tmp_path / 'trees', fails=True)
    assert 'error: pip could not download deepforest==2.1.0: ERROR: no network.' in said
    assert f'Put the wheel into {tmp_path} yourself' in said
    assert 'Traceback' not in said and not (tmp_path / 'trees').exists()
