"""Exported files without PyTorch; run by tests/support/matrix.py where it is not installed."""

import json
from importlib.util import find_spec
from pathlib import Path

import exported
import numpy as np
import pytest
from PIL import Image

from backbones.__main__ import main


@pytest.mark.parametrize('kind', ['detector', 'panoptic', 'segmentor'])
def test_a_folder_is_predicted_and_continued(kind: str, tmp_path: Path, monkeypatch) -> None:
    assert not find_spec('torch') and not find_spec('mmengine')
    file = getattr(exported, kind)(tmp_path / 'x.onnx')
    (tmp_path / 'photos').mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 60, 80, 3), np.uint8)
    words = ['', 'predict', str(file), str(tmp_path / 'photos'), '--out', str(tmp_path / 'out')]
    for i, options in enumerate([[], ['--resume']]):
        Image.fromarray(pixels[i]).save(tmp_path / f'photos/{i}.png')
        monkeypatch.setattr('sys.argv', words + options)
        main()
    lines = (tmp_path / 'out/predictions.jsonl').read_text().splitlines()
    assert ['image' in json.loads(line) for line in lines] == [False, True, True]
    assert len(list((tmp_path / 'out/pictures').iterdir())) == 2
    if kind == 'detector':
        found = json.loads((tmp_path / 'out/results.json').read_text())
        assert {one['category_id'] for one in found} == {1, 2}, 'those above a score of 0.5'
