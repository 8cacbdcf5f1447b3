"""Whatever annotation files contain, the check ends with a report of what is wrong."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import box_layouts  # noqa: F401, fills LAYOUTS
import map_layouts  # noqa: F401
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layout_parts import LAYOUTS
from own_data import json_file, make_coco, make_voc, make_yolo

from backbones.cli import check_data
from backbones.data.files.listing import directly_in
from backbones.errors import UserError

NUMBERS = pytest.mark.parametrize('number', [8, pytest.param(40, marks=pytest.mark.slow)])
ODD_VALUES = [
    None, True, -1, 0, 1.5, 10**30, 10**400, -(10**400), 1e308, float('nan'), float('inf'), '',
    'x', 'a\0b', '\ud800', 'ä' * 300, '/etc', '../..', [], [[]], [None], [[1, 2]], {}, {'a': []},
    [10**400] * 4, [float('inf')] * 8, dict(size=[48, 64], counts=[10**400]),
    dict(size=None, counts='x'),
]  # fmt: skip
ODD = st.sampled_from(ODD_VALUES)
TEXTS = [
    ('voc', 'Annotations/train_0.xml'),
    ('voc', 'ImageSets/Main/val.txt'),
    ('yolo', 'data.yaml'),
    ('yolo', 'labels/train/0.txt'),
    ('labelme, circles and masks, splits', 'train/train_1.json'),
    ('labelme, circles and masks, splits', 'val/val_1.json'),
    ('CVAT for images 1.1, polygons and masks, subsets', 'annotations.xml'),
    ('CVAT for video 1.1', 'annotations.xml'),
    ('LabelMe of MIT', 'Annotations/val/val_1.xml'),
    ('CVAT segmentation mask 1.1', 'labelmap.txt'),
    ('CVAT YOLO 1.1, subsets', 'obj.data'),
    ('CamVid with class_dict.csv', 'class_dict.csv'),
    ('CreateML', '_annotations.createml.json'),
    ('VGG annotator, a project', 'via_project.json'),
    ('VGG annotator 1, splits', 'train/via_region_data.json'),
]
FIELDS = {
    'images': ['id', 'file_name', 'width', 'height'],
    'annotations': ['id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd', 'segmentation',
                    'ignore', 'keypoints'],
    'categories': ['id', 'name', 'supercategory'],
}  # fmt: skip


@pytest.fixture(scope='module')
def roots(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp('data')
    makers = dict(coco=make_coco, yolo=make_yolo, voc=make_voc)
    made = {name: make(folder / name) for name, make in makers.items()}
    for name, _ in TEXTS:
        if name not in made:
            made[name] = folder / name
            made[name].mkdir()
            LAYOUTS[name].make(made[name])
    return made


def ends(root: Path) -> None:
    try:
        report = check_data.check(str(root))
    except UserError as error:
        assert str(error)
    else:
        text = check_data.text(report)
        assert (text.encode() and '0 errors' in text) or report.faults.errors


def each(number: int, change: Callable) -> None:
    """Call the test with so many streams of examples."""
    checks = list(HealthCheck)
    some = settings(max_examples=number, deadline=None, suppress_health_check=checks)
    some(given(data=st.data())(change))()


@NUMBERS
def test_any_field_of_a_json(number: int, roots: dict[str, Path]) -> None:
    each(number, lambda data: change_a_field(data, roots['coco']))


def change_a_field(data, root: Path) -> None:
    file = json_file(root, data.draw(st.sampled_from(['train', 'val'])))
    whole = file.read_text()
    content = json.loads(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        part = data.draw(st.sampled_from([*FIELDS]))
        entries = content[part]
        for entry in entries if data.draw(st.booleans()) else entries[:1]:
            if isinstance(entry, dict):
                entry[data.draw(st.sampled_from(FIELDS[part]))] = data.draw(ODD)
    if data.draw(st.integers(0, 9)) == 0:
        content[data.draw(st.sampled_from([*FIELDS]))] = data.draw(ODD)
    try:
        file.write_text(json.dumps(content))
        ends(root)
    finally:
        file.write_text(whole)


def cut_or_changed(data, text: str) -> str:
    place = data.draw(st.integers(0, len(text)))
    more = data.draw(st.text(st.characters(exclude_categories=['Cs']), max_size=6))
    rest = data.draw(st.integers(0, 12))
    return text[:place] + more + text[place + rest :]


NAMED = ['/etc', '/', '..', '../../x.png', '/root/x.png', '/dev/null', 'a\0b/c.png']


@pytest.mark.parametrize('name', NAMED)
@pytest.mark.parametrize('layout', ['coco', 'yolo'])
def test_a_name_in_a_file_opens_no_other_folder(
    layout: str, name: str, tmp_path: Path, monkeypatch
) -> None:
    """A file name such as '/etc' must not make the check search the whole disk."""
    if layout == 'coco':
        root = make_coco(tmp_path / 'data')
        file = json_file(root, 'train')
        content = json.loads(file.read_text())
        content['images'][0]['file_name'] = name
        file.write_text(json.dumps(content))
    else:
        root = make_yolo(tmp_path / 'data')
        text = (root / 'data.yaml').read_text()
        (root / 'data.yaml').write_text(text.replace('images/train', json.dumps(name)))
    walked, original = [], os.walk
    monkeypatch.setattr(os, 'walk', lambda top, **more: walked.append(top) or original(top, **more))
    report = check_data.check(str(root))
    assert report.faults.errors
    assert all(Path(top).resolve().is_relative_to(root) for top in walked if top != Path('/etc'))


def test_a_folder_that_may_not_be_read_has_nothing_in_it(tmp_path: Path, monkeypatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, 'iterdir', refuse)
    assert directly_in(tmp_path) == []


@pytest.mark.parametrize('name, file', TEXTS)
@NUMBERS
def test_any_text(name: str, file: str, number: int, roots: dict[str, Path]) -> None:
    path = roots[name] / file
    whole = path.read_text()

    def change(data) -> None:
        try:
            path.write_text(cut_or_changed(data, whole))
            ends(roots[name])
        finally:
            path.write_text(whole)

    each(number, change)
