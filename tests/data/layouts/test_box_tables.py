"""Tables of boxes: faults are named, and images without objects are kept."""

from pathlib import Path

import pytest
from own_data import SIZE, noise

from backbones.cli import check_data
from backbones.data.check_dataset import Report

W, H = SIZE
HEAD = 'filename,width,height,class,xmin,ymin,xmax,ymax'


def check(root: Path, *lines: str, file: str = 'a.csv', **options: object) -> Report:
    for name in 'ab':
        noise(root / f'{name}.jpg', seed=ord(name))
    (root / file).write_text('\n'.join(lines), encoding='utf-8-sig')
    return check_data.check(str(root), **options)


def records(report: Report) -> dict:
    return report.dataset.splits['train'].records


def test_a_row_is_a_box_of_its_image(tmp_path: Path) -> None:
    report = check(tmp_path, HEAD, f'a.jpg,{W},{H},cat,1,2,31,22', f'b.jpg,{W},{H},,,,,')
    (box,) = records(report)['annotations']
    assert box['bbox'] == [1, 2, 30, 20] and report.dataset.classes == ('cat',)
    assert [image['file_name'] for image in records(report)['images']] == ['a.jpg', 'b.jpg']


@pytest.mark.parametrize('given, name', [((), 'object'), (('cell',), 'cell')])
def test_a_table_without_classes_has_one(given: tuple, name: str, tmp_path: Path) -> None:
    report = check(tmp_path, 'image, x1, y1, x2, y2', 'a.jpg, 1, 2, 31, 22', classes=given)
    assert report.dataset.classes == (name,)
    assert report.faults.count('unnamed-objects') == (not given)


@pytest.mark.parametrize(
    'row, kind',
    [
        ('c.jpg,64,48,cat,1,2,31,22', 'missing-image'),
        ('a.jpg,64,48,cat,1,2,31,x', 'broken-shape'),
        ('a.jpg,64,48,,1,2,31,22', 'unnamed-class'),
        ('a.jpg,64', 'wrong-structure'),
        ('a.jpg,99,48,cat,1,2,31,22', 'size-differs'),
        ('a.jpg,64,48,cat,31,2,1,22', 'box-empty'),
        ('a.jpg,64,48,cat,0.1,0.2,0.5,0.6', 'box-fractions'),
    ],
)
def test_what_is_wrong_is_named(row: str, kind: str, tmp_path: Path) -> None:
    report = check(tmp_path, HEAD, 'b.jpg,64,48,dog,1,2,31,22', row)
    assert kind in {fault.kind for fault in report.faults.errors}


def test_tables_that_differ_about_an_image_are_named(tmp_path: Path) -> None:
    check(tmp_path, HEAD, f'a.jpg,{W},{H},cat,1,2,31,22')
    report = check(tmp_path, HEAD, f'a.jpg,{W},{H},cat,1,2,31,23', file='train_labels.csv')
    assert 'files-conflict' in {fault.kind for fault in report.faults.errors}
