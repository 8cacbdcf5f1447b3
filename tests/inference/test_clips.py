"""Videos: every frame is predicted once, damage is reported, and memory does not grow."""

import json
import re
from pathlib import Path

import exported
import numpy as np
import pytest
from conftest import tool

from backbones.errors import UnreadableError
from backbones.inference.clips import Clip, upright, writing

SIZE, FPS = (46, 64), 10


def film(path: Path, frames: int = 12) -> Path:
    """A video whose frames become brighter."""
    with writing(path, FPS) as sink:
        for number in range(frames):
            image = np.zeros((*SIZE, 3), np.uint8)
            image[..., 1] = 4 * number + np.random.default_rng(number).integers(0, 20, SIZE)
            sink.add(image, number / FPS)
    return path


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize('fps, numbers', [(None, [*range(12)]), (5, [0, 2, 4, 6, 8, 10])])
def test_frames_are_predicted_in_order(fps: int | None, numbers: list, tmp_path: Path) -> None:
    file, clip = exported.detector(tmp_path / 'x.onnx'), film(tmp_path / 'a b.mp4')
    chosen = ['--fps', fps] if fps else []
    said = tool('predict', file, clip, '--out', tmp_path / 'out', *chosen)
    assert f'a b.mp4: {len(numbers)} frames in ' in said
    assert re.search(rf'\| red +\| +{len(numbers)} \|', said)
    about, *found = lines(tmp_path / 'out/a b.jsonl')
    assert about['video'] == str(clip) and about['fps'] == (fps or FPS)
    assert [entry['frame'] for entry in found] == numbers
    assert [entry['seconds'] for entry in found] == [n / FPS for n in numbers]
    for entry in found:
        boxes = [one['bbox'] for one in entry['instances']]
        assert boxes == [[0, 0, SIZE[1] / 2, SIZE[0]]] * 2
        assert entry['instances'][0]['segmentation']['size'] == [*SIZE]
    made = Clip(tmp_path / 'out/a b.mp4')
    shown = [*made.frames(None)]
    assert [frame.seconds for frame in shown] == [n / FPS for n in numbers] and not made.fault()
    assert shown[-1].image.shape == (46, 240, 3), 'a picture is at least 240 pixels wide'


def test_label_maps_of_frames_are_runs_of_each_label(tmp_path: Path) -> None:
    file = exported.segmentor(tmp_path / 'x.onnx')
    film(tmp_path / 'a.mkv')
    tool('predict', file, tmp_path / '*.mkv', '--out', tmp_path / 'out', '--batch', 1)
    last = lines(tmp_path / 'out/a.jsonl')[-1]
    assert [entry['label'] for entry in last['labels']] == [1], 'green'
    assert last['labels'][0]['segmentation']['size'] == [*SIZE]


def test_broken_videos_are_named_and_do_not_end_the_others(tmp_path: Path) -> None:
    file, whole = exported.detector(tmp_path / 'x.onnx'), film(tmp_path / 'whole.mkv', 60)
    content = whole.read_bytes()
    (tmp_path / 'cut.mkv').write_bytes(content[: len(content) * 2 // 3])
    (tmp_path / 'page.mp4').write_text('<!doctype html>')
    (tmp_path / 'head.mp4').write_bytes(film(tmp_path / 'a.mp4').read_bytes()[:-300])
    (tmp_path / 'a.mp4').unlink()
    (tmp_path / 'torn.mkv').write_bytes(content[:1500] + bytes(400) + content[1900:])
    both, out = (tmp_path / '*.mkv', tmp_path / '*.mp4'), tmp_path / 'out'
    said = tool('predict', file, *both, '--out', out, fails=True)
    assert '4 not complete:' in said
    for fault in ('page.mp4: not a readable', 'head.mp4: not a readable', 'cut.mkv: it ends after',
                  'torn.mkv: damaged'):  # fmt: skip
        assert fault in said
    assert len(lines(out / 'whole.jsonl')) == 61


def test_a_video_whose_rate_varies_is_not_called_damaged(tmp_path: Path) -> None:
    times = np.random.default_rng(0).integers(10, 600, 40).cumsum() / 1000
    with writing(tmp_path / 'a.mkv', FPS) as sink:
        for seconds in times:
            sink.add(np.zeros((*SIZE, 3), np.uint8), seconds)
    clip = Clip(tmp_path / 'a.mkv')
    assert sum(1 for _ in clip.frames(None)) == 40 and clip.fault() == ''


def test_what_is_not_for_videos_is_refused(tmp_path: Path) -> None:
    file, clip = exported.detector(tmp_path / 'x.onnx'), film(tmp_path / 'a.mp4')
    film(tmp_path / 'a.mkv')
    (tmp_path / 'b.png').touch()
    for words, message in (
        ([clip, '--resume'], 'videos always start from the beginning'),
        ([clip, tmp_path / 'b.png'], 'predict on them in two calls'),
        ([tmp_path / 'b.png', '--fps', 3], '--fps is for videos'),
        ([clip, '--fps', 0], '--fps 0; allowed: above 0'),
        ([clip, '--fps', 'nan'], '--fps nan; allowed: above 0'),
        ([clip, '--fps', 'inf'], '--fps inf; allowed: above 0'),
        ([clip, tmp_path / 'a.mkv'], 'several videos are called a:'),
    ):
        said = tool('predict', file, *words, '--out', tmp_path / 'out', fails=True)
        assert said.startswith('error: ') and message in said
    about = dict(input='as they are', classes=list('abcd'))
    bands = exported.segmentor(tmp_path / 'y.ONNX', channels=4, **about)
    said = tool('predict', bands, clip, '--out', tmp_path / 'out', fails=True)
    assert 'reads images of 4 channels as they are, but frames of a video are RGB' in said
    assert not (tmp_path / 'out').exists()
    with pytest.raises(UnreadableError, match=r'gone\.mp4: not a readable video'):
        Clip(tmp_path / 'gone.mp4')


def test_frames_are_turned_upright() -> None:
    image = np.arange(6).reshape(2, 3, 1)
    assert upright(image, 90)[..., 0].tolist() == [[2, 5], [1, 4], [0, 3]], 'counter-clockwise'
    assert upright(image, -90)[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert upright(image, 0)[..., 0].tolist() == image[..., 0].tolist()
