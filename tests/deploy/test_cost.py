"""tools/benchmark.py: candidates in turns, in separate processes, and faults before the start."""

import json
from pathlib import Path

import exported
import numpy as np
import pytest
from conftest import as_a_process, tool
from mmengine.config import Config
from PIL import Image

from backbones.deploy import benchmark
from backbones.deploy.benchmark import Candidate
from backbones.deploy.metric import Validation, first_of, points
from backbones.errors import UserError
from backbones.inference import Predictor
from backbones.openmmlab.config import read_config

CONFIG = 'mask_rcnn_cloformer_nano_digits'
SIZE = (60, 80)


@pytest.mark.slow
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
    assert '| many ' in table and ' 0.500 |' in table and 'rival, forward alone, 32 x 32' in table
    benchmark.plot(rows, tmp_path / 'plot.png')
    assert Image.open(tmp_path / 'plot.png').size[0] > 500


def test_a_rival_is_a_share_of_what_is_timed_like_it() -> None:
    common = dict(threads=1, p95_ms=9.0, images_per_s={}, megabytes=1.0, peak_mib=1.0, start_s=1.0)
    what, kinds, times = benchmark.WHAT, ('predictor', 'backbone', 'backbone', 'onnx'), (8, 2, 3, 5)
    rows = [
        dict(common, name=str(i), what=what[kind], size=[32, 64] if i else None, median_ms=ms)
        for i, (kind, ms) in enumerate(zip(kinds, times))
    ]
    lines = [line.split('|') for line in benchmark.text(rows).splitlines()[2:]]
    assert [line[1].strip() for line in lines] == [
        '0', '1, backbone alone, 32 x 64', '2, backbone alone, 32 x 64', '3, forward alone, 32 x 64'
    ]  # fmt: skip
    assert [line[5].strip() for line in lines] == ['1.00', '1.00', '1.50', '-']


def test_a_backbone_alone_has_no_size_on_disk(tmp_path: Path) -> None:
    config = tmp_path / 'config.py'
    config.write_text('model = dict()')
    assert Candidate('it', 'backbone', str(config), None, 1).megabytes is None
    assert Candidate('it', 'predictor', 'it', str(config), 1).megabytes == 14e-6


def test_a_process_says_why_it_cannot_start(tmp_path: Path) -> None:
    wrong = Candidate('wrong', 'predictor', str(exported.backbone(tmp_path / 'x.onnx')), None, 1)
    with pytest.raises(UserError, match=r'^wrong: .*a model of the task unknown'):
        benchmark.measure([wrong], [], size=[32, 32], rounds=1)


@pytest.mark.parametrize(
    'model, message',
    [
        ('timm:halonet_h1', r'^rival: halonet_h1 does not accept images of 64 x 64 pixels'),
        ('timm:resnet_18', r"^rival: timm has no model 'resnet_18'; did you mean"),
    ],
)
def test_a_rival_that_cannot_be_timed_is_a_sentence(model: str, message: str) -> None:
    rival = Candidate('rival', 'backbone', model, None, 1)
    with pytest.raises(UserError, match=message):
        benchmark.measure([rival], ['a.png'], size=[64, 64], rounds=1)


def test_a_rival_for_a_number_of_images_that_is_not_timed_is_refused(tmp_path: Path) -> None:
    rival = Candidate('it', 'onnx', str(exported.backbone(tmp_path / 'x.onnx', 16)), None, 1)
    with pytest.raises(UserError, match=r'x.onnx takes batches of 16 images; allowed: 1, 4, 8$'):
        benchmark.measure([rival], ['a.png'], size=[64, 64], rounds=1)


def test_what_is_wrong_is_said_before_anything_is_timed(tmp_path: Path) -> None:
    checkpoint = tmp_path / 'x.pth'
    words = [CONFIG, checkpoint, 'x.pt', 'gone.onnx', '--against', 'yolo', '--rounds', 0]
    said = tool('benchmark', *words, '--threads', 0, fails=True)
    for fault in ('x.pt is not an exported file (.onnx, .xml, .pt2)', 'gone.onnx does not exist',
                  '--against yolo; allowed: timm:NAME or an .onnx file', '--rounds 0; allowed',
                  '--threads 0; allowed', 'x.pth does not exist'):  # fmt: skip
        assert fault in said
    checkpoint.write_bytes(b'weights')
    file = exported.segmentor(tmp_path / 'other.onnx', checkpoint_sha256='0' * 64)
    said = tool('benchmark', CONFIG, checkpoint, file, fails=True)
    assert 'other.onnx was not exported from' in said and 'export it again' in said


@pytest.fixture
def boxes(tmp_path: Path) -> Config:
    """A config whose validation image has the objects that `exported.detector` finds."""
    (height, width), half = SIZE, SIZE[1] / 2
    Image.new('RGB', (width, height)).save(tmp_path / 'a.png')
    boxes = [[0, 0, half, height], [0, 0, half, height], [half, 0, half, height / 2]]
    annotations = [
        dict(id=i, image_id=1, category_id=i, bbox=box, area=box[2] * box[3], iscrowd=0,
             segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]])
        for i, box in enumerate(boxes, 1) for x, y, w, h in [box]
    ]  # fmt: skip
    content = dict(
        images=[dict(id=1, file_name='a.png', width=width, height=height)],
        annotations=annotations,
        categories=[dict(id=i, name=name) for i, name in enumerate(exported.CLASSES, 1)],
    )
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    cfg = read_config(CONFIG)
    cfg.val_dataloader.dataset.update(
        data_root=str(tmp_path), ann_file='truth.json', data_prefix=dict(img=''),
        metainfo=dict(classes=exported.CLASSES),
    )  # fmt: skip
    return cfg


@pytest.fixture
def maps(tmp_path: Path) -> Config:
    """A config whose validation image is labelled like `exported.segmentor` labels it."""
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    for folder, content in (('images', pixels), ('labels', pixels.argmax(2).astype(np.uint8))):
        (tmp_path / folder).mkdir()
        Image.fromarray(content).save(tmp_path / folder / 'a.png')
    cfg = read_config('upernet_cloformer_nano_digits')
    cfg.val_dataloader.dataset.update(
        data_root=str(tmp_path), data_prefix=dict(img_path='images', seg_map_path='labels'),
        metainfo=dict(classes=exported.CLASSES),
    )  # fmt: skip
    return cfg


def test_a_perfect_detector_has_the_metric_one(boxes: Config, tmp_path: Path) -> None:
    predictor = Predictor(exported.detector(tmp_path / 'x.onnx'), score=0)
    with as_a_process():
        assert first_of(Validation(boxes).evaluate(predictor)) == ('segm_mAP', 1)


def test_a_perfect_segmentor_has_the_metric_one_hundred(maps: Config, tmp_path: Path) -> None:
    predictor = Predictor(exported.segmentor(tmp_path / 'x.onnx'), score=0)
    with as_a_process():
        found = Validation(maps).evaluate(predictor)
        assert first_of(found) == ('mIoU', 100) and points(found) == 100
        maps.val_evaluator = None
        with pytest.raises(UserError, match='has no validation set'):
            Validation(maps).evaluate(predictor)


def test_a_perfect_panoptic_model_has_the_quality_one_hundred(
    boxes: Config, tmp_path: Path
) -> None:
    """As in MMDetection, the panoptic map is measured."""
    pytest.importorskip('panopticapi')
    (height, width), data = SIZE, dict(boxes.val_dataloader.dataset)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :40, 0], pixels[:, 40:, 1] = 255, 255
    Image.fromarray(pixels).save(tmp_path / 'a.jpg')
    ids = (pixels.argmax(2) + 1).astype(np.uint8)
    Image.fromarray(np.dstack([ids, 0 * ids, 0 * ids])).save(tmp_path / 'a.png')
    segments = [
        dict(id=i, category_id=i, area=2400, bbox=[40 * (i - 1), 0, 40, 60], iscrowd=0)
        for i in (1, 2)
    ]
    truth = dict(
        images=[dict(id=1, file_name='a.jpg', width=width, height=height)],
        annotations=[dict(image_id=1, file_name='a.png', segments_info=segments)],
        categories=[dict(id=i, name=name, isthing=i == 2)
                    for i, name in enumerate(exported.CLASSES, 1)],
    )  # fmt: skip
    (tmp_path / 'panoptic.json').write_text(json.dumps(truth))
    names = exported.CLASSES
    pipeline = [dict(type='LoadImageFromFile'), dict(type='mmdet.PackDetInputs')]
    boxes.val_dataloader.dataset = dict(
        data, type='mmdet.CocoPanopticDataset', ann_file='panoptic.json', pipeline=pipeline,
        data_prefix=dict(img='', seg=''),
        metainfo=dict(classes=names, thing_classes=names[1:2], stuff_classes=names[::2]),
    )  # fmt: skip
    boxes.val_evaluator = dict(
        type='mmdet.CocoPanopticMetric',
        ann_file=str(tmp_path / 'panoptic.json'),
        seg_prefix=str(tmp_path),
    )
    predictor = Predictor(exported.panoptic(tmp_path / 'x.onnx'), score=0)
    with as_a_process():
        assert points(Validation(boxes).evaluate(predictor)) == 100
