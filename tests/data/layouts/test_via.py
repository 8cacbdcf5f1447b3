"""The VGG annotator's regions: which are instances, and of which class."""

import json
import math
from pathlib import Path

import pytest
from own_data import noise

from backbones.cli import check_data
from backbones.data.check_dataset import Report


def region(name: str, attributes: dict | None = None, **place: object) -> dict:
    return dict(shape_attributes=dict(name=name, **place), region_attributes=attributes or {})


def box(x: int, attributes: dict | None = None) -> dict:
    return region('rect', attributes, x=x, y=5, width=10, height=20)


def line(xs: list[int], ys: list[int], name: str = 'polyline') -> dict:
    return region(name, all_points_x=xs, all_points_y=ys)


def check(root: Path, *regions: dict, file: str = 'via.json', **options: object) -> Report:
    noise(root / 'a.png')
    entry = dict(filename='a.png', size=1, regions=list(regions), file_attributes={})
    (root / file).write_text(json.dumps({'a.png1': entry}))
    return check_data.check(str(root), **options)


def annotations(report: Report) -> list[dict]:
    return report.dataset.splits['train'].records['annotations']


@pytest.mark.parametrize('given, called', [((), 'object'), (('tree',), 'tree')])
def test_regions_without_attributes_are_of_one_class(given, called: str, tmp_path: Path) -> None:
    report = check(tmp_path, box(1), box(20), classes=given)
    assert report.dataset.classes == (called,)
    assert report.classes[called] == {'train': 2}
    assert report.faults.count('unnamed-objects') == (not given)


def test_the_class_is_the_attribute_called_so_or_the_one_that_all_have(tmp_path: Path) -> None:
    told = [dict(colour='red', Class='cat'), dict(colour='blue', Class='dog')]
    assert check(tmp_path, *(box(1, a) for a in told)).dataset.classes == ('cat', 'dog')
    ticked = [dict(a='', b=dict(cat=True, dog=False)), dict(a='x', b=dict(dog=True))]
    assert check(tmp_path, *(box(1, a) for a in ticked)).dataset.classes == ('cat', 'dog')
    unclear = [dict(a='x', b='cat'), dict(a='y', b='dog')]
    assert check(tmp_path, *(box(1, a) for a in unclear)).faults.count('wrong-structure')
    report = check(tmp_path, *(box(1, a) for a in unclear), classes=('cat', 'dog'))
    assert not report.faults.count('wrong-structure')
    assert report.classes == {'cat': {'train': 1}, 'dog': {'train': 1}}


def test_an_image_in_two_folders_is_named(tmp_path: Path) -> None:
    check(tmp_path, box(1))
    for folder in ('big', 'small'):
        noise(tmp_path / folder / 'a.png')
    (tmp_path / 'a.png').unlink()
    faults = check_data.check(str(tmp_path)).faults
    assert 'a.png may be big/a.png or small/a.png' in '\n'.join(faults.lines())


def test_a_region_without_a_class_among_others_is_an_error(tmp_path: Path) -> None:
    report = check(tmp_path, box(1, dict(kind='cat')), box(20))
    assert report.faults.count('unnamed-class') == 1
    assert len(annotations(report)) == 1


def test_a_polyline_that_ends_where_it_begins_is_an_outline(tmp_path: Path) -> None:
    closed = line([5, 30, 30, 5, 5], [5, 5, 25, 25, 6])
    report = check(tmp_path, closed, line([5, 30, 30], [5, 5, 25]), region('point', cx=3, cy=4))
    (found,) = annotations(report)
    assert found['bbox'] == [5, 5, 25, 20]
    assert report.faults.count('shape-left-out') == 2


def test_an_ellipse_is_turned_by_its_angle(tmp_path: Path) -> None:
    upright = region('ellipse', cx=30, cy=24, rx=20, ry=8, theta=0)
    turned = region('ellipse', cx=30, cy=24, rx=20, ry=8, theta=math.pi / 2)
    first, second = annotations(check(tmp_path, upright, turned))
    assert first['bbox'] == pytest.approx([10, 16, 40, 16])
    assert second['bbox'] == pytest.approx([22, 4, 16, 40])
    circle = annotations(check(tmp_path, region('circle', cx=30, cy=24, r=8)))[0]
    assert circle['bbox'] == pytest.approx([22, 16, 16, 16])


def test_an_image_in_two_files_is_read_once_if_they_agree(tmp_path: Path) -> None:
    check(tmp_path, box(1))
    report = check(tmp_path, box(1), file='copy.json')
    assert len(annotations(report)) == 1
    assert not report.faults.count('files-conflict')
    assert check(tmp_path, box(2), file='copy.json').faults.count('files-conflict') == 1
