"""tools/benchmark.py: candidates in turns, each in a process of its own, and faults before any."""

from pathlib import Path

import exported
import numpy as np
import pytest
from conftest import tool
from PIL import Image

from backbones.deploy import benchmark
from backbones.deploy.benchmark import Candidate
from backbones.errors import UserError

CONFIG = 'mask_rcnn_cloformer_nano_digits'


def test_candidates_are_timed_in_turns(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / 'a.png')
    one = exported.detector(tmp_path / 'one.onnx')
    many = exported.segmentor(tmp_path / 'many.onnx', images='n')
    candidates = [
        Candidate('one', 'predictor', str(one), None, 1),
        Candidate('many', 'predictor', str(many), None, 1),
        Candidate('rival', 'onnx', str(exported.backbone(tmp_path / 'rival.onnx')), None, 1),
    ]
    rows = benchmark.measure(candidates, [str(tmp_path / 'a.png')], size=[32, 32], rounds=3)
    assert [row['name'] for row in rows] == ['one', 'many', 'rival']
    assert [[*row['images_per_s']] for row in rows] == [[1], [1, 4, 8], [1]]
    for row in rows:
        assert 0 < row['median_ms'] <= row['p95_ms'] < 1000
        assert 20 < row['peak_mib'] < 400, 'PyTorch is not imported for a file'
        assert 0 < row['start_s'] < 60
    assert rows[0]['megabytes'] == pytest.approx(one.stat().st_size / 1e6)
    rows[1]['metric'] = 0.5
    table = benchmark.text(rows)
    assert '| many ' in table and ' 0.500 |' in table and 'rival, forward alone' in table
    benchmark.plot(rows, tmp_path / 'plot.png')
    assert Image.open(tmp_path / 'plot.png').size[0] > 500


def test_a_process_says_why_it_cannot_start(tmp_path: Path) -> None:
    wrong = Candidate('wrong', 'predictor', str(exported.backbone(tmp_path / 'x.onnx')), None, 1)
    with pytest.raises(UserError, match=r'^wrong: .*a model of the task unknown'):
        benchmark.measure([wrong], [], size=[32, 32], rounds=1)


def test_what_is_wrong_is_said_before_anything_is_timed(tmp_path: Path) -> None:
    checkpoint = tmp_path / 'x.pth'
    words = [CONFIG, checkpoint, 'x.pt', 'gone.onnx', '--against', 'yolo', '--rounds', 0]
    said = tool('benchmark', *words, '--threads', 0, fails=True)
    for fault in ('x.pt is no exported file (.onnx or .xml)', 'gone.onnx does not exist',
                  '--against yolo; allowed: timm:NAME or an .onnx file', '--rounds 0; allowed',
                  '--threads 0; allowed', 'x.pth does not exist'):  # fmt: skip
        assert fault in said
    checkpoint.write_bytes(b'weights')
    file = exported.segmentor(tmp_path / 'other.onnx', checkpoint_sha256='0' * 64)
    said = tool('benchmark', CONFIG, checkpoint, file, fails=True)
    assert 'other.onnx was not exported from' in said and 'export it again' in said
