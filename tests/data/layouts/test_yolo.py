"""YOLO's files are read as intended, or a message says why not."""

import math
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_data import CLASSES, make_yolo

from backbones.cli import check_data
from backbones.data.check_dataset import Report
from backbones.data.files.yaml_text import DEPTH, YamlError, read_yaml
from backbones.data.layouts.yolo import annotation
from backbones.errors import UserError


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    return make_yolo(tmp_path / 'yolo')


def checked(root: Path) -> tuple[Report, set[str]]:
    report = check_data.check(str(root))
    return report, {fault.kind for fault in report.faults.errors}


def settings_of(root: Path, text: str) -> None:
    (root / 'data.yaml').write_text(text)


def counts(report: Report, split: str = 'train') -> int:
    return len(report.dataset.splits[split].records['annotations'])


SPLITS = 'train: images/train\nval: images/val\n'


@pytest.mark.parametrize(
    'names',
    [
        ['02146', '12:30'],
        ['no', 'yes'],
        ['on', 'OFF'],
        ['2024-01-31', '1e3'],
        ['1_000', '0x1F'],
        ['1.10', '.5'],
        ['a b', 'ä'],
    ],
)
def test_names_are_the_text_that_stands_there(names: list[str], yolo: Path) -> None:
    settings_of(yolo, SPLITS + f'names: [{", ".join(names)}]\n')
    assert checked(yolo)[0].dataset.classes == tuple(names)
    settings_of(
        yolo, SPLITS + ''.join(['names:\n', *(f'  {i}: {n}\n' for i, n in enumerate(names))])
    )
    report, errors = checked(yolo)
    assert report.dataset.classes == tuple(names) and not errors


def test_several_names_that_are_no_text_are_a_fault(yolo: Path) -> None:
    settings_of(yolo, SPLITS + 'names: [tree, "", ~, ""]\n')
    assert {'unnamed-class'} <= checked(yolo)[1]


@pytest.mark.parametrize('name', ['', '~', 'null', '[a]', '{a: b}'])
def test_a_name_that_is_no_text_is_a_fault(name: str, yolo: Path) -> None:
    settings_of(yolo, SPLITS + f'names:\n  - tree\n  - {name}\n')
    assert 'unnamed-class' in checked(yolo)[1]


@pytest.mark.parametrize(
    'text, kind, said',
    [
        ('kpt_shape: 17', 'wrong-yaml', 'kpt_shape is 17; allowed: '),
        ('kpt_shape: [17, 4]', 'wrong-yaml', 'as in kpt_shape: [17, 3]'),
        ('kpt_shape: [99999999999, 3]', 'wrong-yaml', 'kpt_shape is'),
        ('kpt_shape: a', 'wrong-yaml', 'kpt_shape is a'),
        ('nc: two', 'class-count', 'nc is two, but there are 2 names'),
    ],
)
def test_a_setting_of_another_kind_is_a_fault(text, kind, said, yolo: Path) -> None:
    settings_of(yolo, f'{SPLITS}names: [a, b]\n{text}\n')
    report, errors = checked(yolo)
    assert kind in errors and said in check_data.text(report)


@pytest.mark.parametrize('names', ['a', '3', '{1: a, 2: b}', '{x: a}'])
def test_names_of_another_form_are_a_fault(names: str, yolo: Path) -> None:
    settings_of(yolo, f'{SPLITS}names: {names}\n')
    assert {'wrong-yaml', 'class-count'} & checked(yolo)[1]


@pytest.mark.parametrize('path', ['2024', 'null', '[a]', '/gone', '"a\\0b"'])
def test_a_path_that_leads_nowhere_does_not_matter(path: str, yolo: Path) -> None:
    settings_of(yolo, f'path: {path}\n{SPLITS}names: [a, b]\n')
    report, errors = checked(yolo)
    assert not errors and counts(report) == 6


@pytest.mark.parametrize('train', ['x' * 5000, '"a\\0"', '2024', '{a: b}', 'pipe'])
def test_a_split_that_cannot_be_found_is_a_fault(train: str, yolo: Path) -> None:
    os.mkfifo(yolo / 'pipe')
    settings_of(yolo, f'train: {train}\nval: images/val\nnames: [a, b]\n')
    report, errors = checked(yolo)
    assert 'missing-image' in errors and len(check_data.text(report)) < 5000


BOMB = 'a0: &a0 [x, x, x, x, x, x, x, x, x]\n' + ''.join(
    f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 9)}]\n' for i in range(1, 12)
)


@pytest.mark.parametrize(
    'text, said',
    [
        (BOMB + 'names: *a11\n', 'aliases expand to more than'),
        ('names: ' + '[' * 5000 + ']' * 5000, f'nested more than {DEPTH} levels'),
        ('names: ' + '[' * (DEPTH + 2) + ']' * (DEPTH + 2), f'nested more than {DEPTH} levels'),
        ('a: &a [*a]\n', 'cannot be read'),
        ('x: "' + 'a' * (1 << 20) + '"', 'not a settings file'),
        ('names: !!python/object/apply:os.system [ls]\n', None),
    ],
)
def test_a_file_that_stands_for_much_is_refused_at_once(text: str, said, yolo: Path) -> None:
    settings_of(yolo, text)
    start = time.process_time()
    if said is None:
        assert read_yaml(yolo / 'data.yaml') == {'names': ['ls']}, 'a tag calls nothing'
        return
    with pytest.raises(UserError, match=said):
        check_data.check(str(yolo))
    assert time.process_time() - start < 3


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.sampled_from('ab:-[]{}&*!#\'"|>\n ,?%@`\t0~'), max_size=40))
def test_any_text_is_read_or_refused(text: str, tmp_path_factory) -> None:
    file = tmp_path_factory.getbasetemp() / 'any.yaml'
    file.write_text(text)
    try:
        read_yaml(file)
    except YamlError as error:
        assert str(error)


def pose(root: Path, line: str) -> None:
    for path in root.glob('labels/*/*.txt'):
        path.write_text(line + '\n')


BOX = '0 0.5 0.5 0.4 0.4'


@pytest.mark.parametrize(
    'points', ['0.4 0.4 0.6 0.6', '0.4 0.4 2 0.6 0.6 1 0 0 0', '0.35 0.4 2 0.6 0.6 1']
)
def test_keypoints_without_kpt_shape_are_not_taken_for_polygons(points: str, yolo: Path) -> None:
    pose(yolo, f'{BOX} {points}')
    report, errors = checked(yolo)
    assert errors == {'keypoints-or-polygons'} and not report.dataset.has_masks()
    each = 3 if ' 2 ' in points else 2
    number = len(points.split()) // each
    (yolo / 'data.yaml').write_text(
        (yolo / 'data.yaml').read_text() + f'kpt_shape: [{number}, {each}]\n'
    )
    report, errors = checked(yolo)
    assert not errors and not report.dataset.has_masks()
    box = report.dataset.splits['train'].records['annotations'][0]['bbox']
    assert box == pytest.approx([0.3 * 64, 0.3 * 48, 0.4 * 64, 0.4 * 48])


def test_polygons_are_polygons(yolo: Path) -> None:
    for i, path in enumerate(sorted(yolo.glob('labels/*/*.txt'))):
        more = ' 0.7 0.8' if i % 2 else ''
        path.write_text(f'{i % 2} 0.6 0.7 0.8 0.7 0.8 0.8 0.6 0.8{more}\n')
    report, errors = checked(yolo)
    assert not errors and report.dataset.has_masks()


def test_rectangles_as_polygons_are_polygons(yolo: Path) -> None:
    for i, path in enumerate(sorted(yolo.glob('labels/*/*.txt'))):
        path.write_text(f'{i % 2} 0.1 0.1 0.8 0.1 0.8 0.8 0.1 0.8\n')
    report, errors = checked(yolo)
    assert not errors and report.dataset.has_masks()


def test_labels_beside_the_images(yolo: Path) -> None:
    for path in [*yolo.glob('labels/*/*.txt')]:
        shutil.move(path, yolo / 'images' / path.parent.name / path.name)
    report, errors = checked(yolo)
    assert not errors and counts(report) == 6


def test_labels_in_two_places_are_a_fault(yolo: Path) -> None:
    shutil.copy(yolo / 'labels/train/0.txt', yolo / 'images/train/0.txt')
    report, errors = checked(yolo)
    assert errors == {'labels-in-two-places'}
    assert 'labels/train/0.txt and images/train/0.txt' in check_data.text(report)


def test_a_dataset_below_a_folder_named_images(tmp_path: Path) -> None:
    root = tmp_path / 'images/pets'
    source = make_yolo(tmp_path / 'yolo')
    for split in ('train', 'val'):
        shutil.copytree(source / f'images/{split}', root / split)
        shutil.copytree(source / f'labels/{split}', root / split, dirs_exist_ok=True)
    settings_of(root, 'train: train\nval: val\nnames: [a, b]\n')
    report, errors = checked(root)
    assert not errors and counts(report) == 6


def test_lists_written_on_windows(yolo: Path) -> None:
    for split in ('train', 'val'):
        names = sorted(path.name for path in (yolo / f'images/{split}').iterdir())
        lines = '\r\n'.join(f'.\\images\\{split}\\{name}' for name in names)
        (yolo / f'{split}.txt').write_bytes(b'\xef\xbb\xbf' + lines.encode())
    settings_of(yolo, 'path: .\ntrain: train.txt\nval: val.txt\nnames: [a, b]\n')
    report, errors = checked(yolo)
    assert not errors and counts(report) == 6 and counts(report, 'val') == 3


def test_texts_that_are_no_labels_are_no_fault(yolo: Path) -> None:
    (yolo / 'labels/train/README.txt').write_text('exported 2024\n')
    (yolo / 'labels/train/classes.txt').write_text('\n'.join(CLASSES), encoding='utf-8')
    (yolo / 'labels/train/train.txt').write_text('images/train/0.jpg\n')
    assert not checked(yolo)[1]
    (yolo / 'labels/train/9.txt').write_text('0 0.5 0.5 0.2 0.2\n')
    assert checked(yolo)[1] == {'label-without-image'}


def test_another_list_of_the_names_is_compared(yolo: Path) -> None:
    (yolo / 'labels/classes.txt').write_text('\n'.join(CLASSES[::-1]), encoding='utf-8')
    report, errors = checked(yolo)
    assert errors == {'wrong-yaml'}
    (yolo / 'labels/classes.txt').write_text('\n'.join([*CLASSES, 'nose']), encoding='utf-8')
    assert not checked(yolo)[1]
    assert f'but labels/classes.txt has {CLASSES[1]}, {CLASSES[0]}' in check_data.text(report)


@settings(max_examples=300, deadline=None)
@given(
    words=st.lists(
        st.sampled_from(['0', '1', '-1', '0.5', '1e400', 'nan', 'inf', 'x', '10' * 200, '٣'])
        | st.floats(0, 1).map(str),
        max_size=12,
    ),
    keypoints=st.sampled_from([0, 4, 6]),
)
def test_any_line_is_an_annotation_or_a_fault(words: list[str], keypoints: int) -> None:
    kind, found = annotation(' '.join(words), (64, 48), 2, keypoints)
    assert kind or found
    if found:
        assert all(map(math.isfinite, [*found['bbox'], found['area']]))
        assert found['category_id'] in (1, 2)
