"""The results page: curves over all runs, what is counted, which images are shown."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import as_a_process, tool
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from runners import small_runner

from backbones import config_file
from backbones.drawing import samples
from backbones.report import evaluate, page, scores
from backbones.report.curves import read_curves
from backbones.report.page import write_page
from backbones.report.scores import Scores, count_pixels, iou

BOX = [10.0, 10, 30, 30]
FAR = [60.0, 60, 80, 80]


def log(work_dir: Path, run: str, *records: dict, torn: str = '') -> None:
    file = work_dir / run / 'vis_data/scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(r) + '\n' for r in records) + torn)


def test_curves_join_the_runs_and_take_what_a_resumed_run_made_again(tmp_path: Path) -> None:
    train = [dict(iter=i, step=i, loss=9.0 - i, loss_cls=1.0, lr=0.1) for i in range(1, 6)]
    log(tmp_path, '20260101_000000', *train, {'coco/bbox_mAP': 0.1, 'step': 1}, torn='{"loss": 3')
    log(tmp_path, '20260102_000000', dict(iter=4, step=4, loss=0.5), dict(iter=6, step=6, loss=0.4),
        {'coco/bbox_mAP': 0.2, 'step': 2, 'time': 1.0})  # fmt: skip
    curves = read_curves(tmp_path)
    assert curves.losses['loss'] == {1: 8, 2: 7, 3: 6, 4: 0.5, 5: 4, 6: 0.4}
    assert curves.rates == {'lr': dict.fromkeys(range(1, 6), 0.1)}
    assert curves.metrics == {'coco/bbox_mAP': {1: 0.1, 2: 0.2}}
    assert curves.unit == 'epoch'


def test_validations_that_no_epoch_counts_stand_at_their_iteration(tmp_path: Path) -> None:
    first, second = ({'coco/bbox_mAP': value, 'step': 0} for value in (0.1, 0.2))
    train = [dict(iter=i, step=i, loss=1.0) for i in (1, 2, 3)]
    log(tmp_path, 'run', train[0], train[1], first, train[2], second)
    curves = read_curves(tmp_path)
    assert curves.metrics == {'coco/bbox_mAP': {2: 0.1, 3: 0.2}}
    assert curves.unit == 'iteration'


def boxes(path: str, truth: list, found: list, *, crowds: list = ()) -> DetDataSample:
    """`found` are (box, label, score), `truth` (box, label)."""
    sample = DetDataSample(metainfo=dict(img_path=path))
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([b for b, _ in truth]).reshape(-1, 4),
        labels=torch.tensor([n for _, n in truth], dtype=torch.long),
    )
    sample.ignored_instances = InstanceData(bboxes=torch.tensor(crowds).reshape(-1, 4))
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor([b for b, _, _ in found]).reshape(-1, 4),
        labels=torch.tensor([n for _, n, _ in found], dtype=torch.long),
        scores=torch.tensor([s for _, _, s in found]),
    )
    return sample


@pytest.mark.parametrize(
    'truth, found, crowds, expected',
    [
        ([(BOX, 0)], [(BOX, 0, 0.9)], [], {(0, 0): 1}),
        ([(BOX, 0)], [(BOX, 1, 0.9)], [], {(0, 1): 1}),
        ([(BOX, 0)], [(BOX, 0, 0.1)], [], {(0, 2): 1}),
        ([], [(BOX, 1, 0.9)], [], {(2, 1): 1}),
        ([(BOX, 1)], [(BOX, 1, 0.9), (FAR, 0, 0.9)], [FAR], {(1, 1): 1}),
        ([(BOX, 0)], [(BOX, 0, 0.9)], [BOX], {(0, 0): 1}),
        ([], [], [], {}),
    ],
    ids=['right', 'confused', 'unsure', 'false', 'crowd', 'true in a crowd', 'empty'],
)
def test_boxes_are_counted_by_their_true_and_their_found_class(
    truth: list, found: list, crowds: list, expected: dict
) -> None:
    counted = Scores(['a', 'b'])
    counted.add([boxes('1.png', truth, found, crowds=crowds)])
    counted.gather()
    assert {
        tuple(map(int, at)): counted.matrix[tuple(at)] for at in np.argwhere(counted.matrix)
    } == expected


def test_pixels_are_counted_where_the_truth_is_a_class() -> None:
    matrix = count_pixels(np.array([[0, 0, 1, 255]]), np.array([[0, 1, 1, 1]]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_array_equal(iou(matrix), [0.5, 0.5, np.nan])


def test_the_worst_and_the_best_are_kept_once_and_an_empty_image_is_neither() -> None:
    counted = Scores(['a'])
    counted.add([boxes('empty.png', [], [])])
    for right in range(6):  # of six boxes
        places = [[20.0 * i, 0, 20.0 * i + 9, 9] for i in range(6)]
        found = [(place, 0, 0.9) for place in places[:right]]
        counted.add([boxes(f'{right}.png', [(place, 0) for place in places], found)])
    counted.gather()
    assert [e.sample.img_path for e in counted.worst] == ['0.png', '1.png', '2.png', '3.png']
    assert [e.sample.img_path for e in counted.best] == ['5.png', '4.png']
    assert counted.best[0].score == pytest.approx(2 * 5 / 11)


def test_an_image_that_two_processes_saw_counts_once(monkeypatch) -> None:
    first, second = Scores(['a']), Scores(['a'])
    for part, names in ((first, ('1.png', '2.png')), (second, ('2.png', '3.png'))):
        part.add([boxes(name, [(BOX, 0)], []) for name in names])
    monkeypatch.setattr(scores, 'all_gather_object', lambda own: [first, second])
    first.gather()
    assert first.matrix.tolist() == [[0, 3], [0, 0]]
    assert sorted(e.sample.img_path for e in first.worst) == ['1.png', '2.png', '3.png']


def test_false_finds_do_not_hide_what_is_taken_for_another_class() -> None:
    counted = Scores(['a', 'b'])
    false = [([100 + 20.0 * i, 0, 109 + 20.0 * i, 9], 0, 0.9) for i in range(3)]
    counted.add([boxes('1.png', [(BOX, 0)], [(BOX, 1, 0.9), *false])])
    counted.gather()
    text = ''.join(page._confusions(counted)).replace('</td><td>', ' ')
    first, second = re.findall(r'<p>(.*?):</p>', text)
    assert first.startswith('Most often mistaken for another')
    assert second.startswith('Most often missed')
    assert re.findall(r'<td>(.*?)</td>', text) == ['a b 1', '(no object) a 3']


def label_maps(path: Path, classes: int) -> SegDataSample:
    cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    sample = SegDataSample(metainfo=dict(img_path=str(path)))
    rows = torch.arange(20)[:, None].expand(20, 30)[None]
    sample.gt_sem_seg = PixelData(data=rows % classes)
    sample.pred_sem_seg = PixelData(data=(rows + (rows > 15)) % classes)
    return sample


@pytest.mark.parametrize('classes', [1, 80])
def test_a_page_stands_alone_and_names_every_class(classes: int, tmp_path: Path) -> None:
    names = [f'<class {i}>' for i in range(classes)]
    counted = Scores(names)
    counted.add([label_maps(tmp_path / 'ä b.png', classes)])
    counted.gather()
    metrics = {'mIoU': np.float32(5), 'x': -1}
    file = write_page(tmp_path, about='here', metrics=metrics, scores=counted, class_ap={},
                      meta=dict(classes=names))  # fmt: skip
    text = file.read_text()
    assert '<tr><td>mIoU</td><td>5</td></tr>' in text and '<td>x</td>' not in text
    assert 'http' not in text and '<script' not in text
    assert all(f'<td>&lt;class {i}&gt;</td>' in text for i in range(classes))
    assert text.count('<td>-</td>') >= 3 * (classes - 21)  # classes that nowhere occur
    shown = {line.split('"')[1] for line in text.splitlines() if '<img' in line}
    assert shown == {'confusion.png', 'worst_1.jpg'}
    assert all((file.parent / name).is_file() for name in shown)


HOSTILE = ('$x^$', '$\\frac{$', 'two\nlines', '\ud800', '_hidden', '\x00', '<b>', '')


def test_no_text_can_end_a_page(tmp_path: Path) -> None:
    """Matplotlib reads dollars as formulas, Pillow cannot measure lines, UTF-8 lacks surrogates."""
    counted = Scores([*HOSTILE])
    counted.add([label_maps(tmp_path / 'a $x^$.png', len(HOSTILE))])
    counted.gather()
    records = [{'iter': i, 'step': i, **{f'loss_{name}': 1.0 for name in HOSTILE}, 'loss': 1.0}
               for i in (1, 2)]  # fmt: skip
    log(
        tmp_path, 'run', *records, {f'coco/{name}_precision': 0.1 for name in HOSTILE} | {'step': 1}
    )
    file = write_page(tmp_path, about='$x^$\ud800', metrics={}, scores=counted, class_ap={},
                      meta=dict(classes=HOSTILE))  # fmt: skip
    text = file.read_text()
    for name in ('$x^$', r'two\nlines', r'\ud800'):
        assert f'<td>{name}</td>' in text
    assert (file.parent / 'confusion.png').is_file() and (file.parent / 'curves.png').is_file()


def make_untrained(name: str, folder: Path) -> None:
    """Three digits scenes, and a checkpoint `x.pth`."""
    tool('make_digits', '--out', folder / 'digits', '--train', 1, '--val', 2)
    with as_a_process():
        cfg = Config.fromfile(config_file(name))
        init_default_scope(cfg.default_scope)
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), folder / 'x.pth')


@pytest.mark.parametrize('method', ['mask_rcnn', 'upernet'])
def test_images_without_labels_are_only_formatted(method: str, tmp_path: Path) -> None:
    name = f'{method}_dilateformer_nano_digits'
    make_untrained(name, tmp_path)
    annotations = tmp_path / 'digits/annotations/test.json'
    content = json.loads((tmp_path / 'digits/annotations/val.json').read_text())
    del content['annotations']
    annotations.write_text(json.dumps(content))
    if method == 'mask_rcnn':
        dataset, written = dict(ann_file='annotations/test.json'), 'out.segm.json'
        evaluator = dict(type='CocoMetric', metric=['bbox', 'segm'], ann_file=str(annotations),
                         outfile_prefix=str(tmp_path / 'out'))  # fmt: skip
    else:
        dataset = dict(data_prefix=dict(_delete_=True, img_path='images/val'))
        evaluator, written = dict(type='IoUMetric', output_dir=str(tmp_path / 'maps')), 'maps'
    evaluator |= dict(_delete_=True, format_only=True)
    (tmp_path / 'only.py').write_text(
        f'_base_ = {config_file(name)!r}\ntest_dataloader = dict(dataset={dataset})\n'
        f'test_evaluator = {evaluator}\n'
    )
    tool('test', tmp_path / 'only.py', tmp_path / 'x.pth', '--data-root', tmp_path / 'digits',
         '--work-dir', tmp_path / 'run')  # fmt: skip
    path = tmp_path / written
    if path.is_dir():
        assert sorted(file.name for file in path.iterdir()) == ['0000.png', '0001.png']
    else:
        assert {entry['image_id'] for entry in json.loads(path.read_text())} == {0, 1}


@pytest.mark.parametrize('fault', ['page', 'pictures'])
def test_metrics_are_written_whatever_becomes_of_pages_and_pictures(
    fault: str, tmp_path: Path, monkeypatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError('no page')

    name = 'upernet_dilateformer_nano_digits'
    make_untrained(name, tmp_path)
    where = (evaluate, 'write_page') if fault == 'page' else (samples, 'side_by_side')
    monkeypatch.setattr(*where, fail)
    said = tool('test', name, tmp_path / 'x.pth', '--data-root', tmp_path / 'digits', '--results',
                '--work-dir', tmp_path / 'run', '--show-dir', tmp_path / 'shown',
                fails=True)  # fmt: skip
    assert 0 <= json.loads((tmp_path / 'run/metrics.json').read_text())['metrics']['mIoU'] <= 100
    if fault == 'pictures':
        assert 'error: some pictures could not be drawn: ' in said and 'ValueError: no page' in said
        assert (tmp_path / 'run/results/index.html').is_file()


def test_precision_by_class_is_taken_out_of_the_metrics() -> None:
    metrics = {'coco/bbox_mAP': 0.3, 'coco/a/b_precision': 0.2, 'coco/c_precision': float('nan')}
    found = evaluate.take_classes(metrics, ['a/b', 'c'])
    assert found['a/b'] == 0.2 and np.isnan(found['c'])
    assert metrics == {'coco/bbox_mAP': 0.3}


def test_a_training_without_validation_has_a_page_of_curves(tmp_path: Path) -> None:
    runner = small_runner(tmp_path, iterations=2)
    runner.train()
    told = evaluate.after_training(runner)
    text = Path(told.removeprefix('results page: ')).read_text()
    assert 'has no validation' in text and '<h2>Metrics' not in text
    assert [line.split('"')[1] for line in text.splitlines() if '<img' in line] == ['curves.png']


def test_a_class_without_instances_comes_last_and_has_no_number(tmp_path: Path) -> None:
    image = tmp_path / '1.png'
    cv2.imwrite(str(image), np.zeros((90, 90, 3), np.uint8))
    counted = Scores(['never', 'good', 'bad'])
    counted.add([boxes(str(image), [(BOX, 1), (FAR, 2)], [(BOX, 1, 0.9)])])
    counted.gather()
    ap = {'never': float('nan'), 'good': 1.0, 'bad': 0.0}
    page = write_page(tmp_path, about='', metrics={}, scores=counted, class_ap=ap,
                      meta=dict(classes=counted.classes))  # fmt: skip
    rows = re.findall('<tr><td>(never|good|bad)</td>(.*)</tr>', page.read_text())
    cells = {name: re.findall('<td>(.*?)</td>', rest) for name, rest in rows[:3]}
    assert list(cells) == ['bad', 'good', 'never']
    assert cells['bad'] == ['0.000', '0.000', '-', '1']
    assert cells['good'] == ['1.000', '1.000', '1.000', '1']
    assert cells['never'] == ['-', '-', '-', '0']
