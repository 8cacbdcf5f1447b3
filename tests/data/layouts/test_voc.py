"""A Pascal VOC file is paired with the image beside it, or is an error; marks are respected."""

import os
import shutil
from pathlib import Path

import pytest
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from own_data import CLASSES, make_voc, noise, sample_of

from backbones.cli import check_data
from backbones.data.configs.new_config import new_config
from backbones.data.dataset import Dataset
from backbones.data.files.listing import list_images
from backbones.inference.image_files import find_images


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    return make_voc(tmp_path / 'voc')


def images_of(dataset: Dataset, split: str = 'train') -> list[str]:
    return [e['file_name'] for e in dataset.splits[split].records['images']]


def found_kinds(root: Path) -> set[str]:
    return {fault.kind for fault in check_data.check(str(root)).faults.found.values()}


def test_pictures_of_the_labels_are_not_taken_for_the_images(voc: Path) -> None:
    """As in labelme's example, where AnnotationsVisualization has images with painted boxes."""
    shutil.copytree(voc / 'JPEGImages', voc / 'AnnotationsVisualization')
    for path in (voc / 'AnnotationsVisualization').iterdir():
        noise(path, seed=1)
    dataset = check_data.check(str(voc)).dataset
    assert images_of(dataset) == [f'JPEGImages/train_{i}.jpg' for i in range(6)]


def test_equal_names_in_sub_folders_are_told_apart(voc: Path) -> None:
    for split, place in (('a', 'JPEGImages'), ('b', 'JPEGImages')):
        noise(voc / place / split / '1.jpg', seed=ord(split))
        (voc / 'Annotations' / split).mkdir()
        shutil.copy(voc / 'Annotations/train_0.xml', voc / f'Annotations/{split}/1.xml')
    shutil.rmtree(voc / 'ImageSets')
    dataset = check_data.check(str(voc)).dataset
    assert {'JPEGImages/a/1.jpg', 'JPEGImages/b/1.jpg'} <= set(images_of(dataset))


@pytest.mark.parametrize('images', ['images', 'img', 'JPEGImages'])
@pytest.mark.parametrize('below', ['', 'train/'])
def test_images_lie_beside_the_folder_of_the_labels(images: str, below: str, tmp_path) -> None:
    root, source = tmp_path / 'data', make_voc(tmp_path / 'voc')
    shutil.copytree(source / 'JPEGImages', root / f'{below}{images}')
    shutil.copytree(source / 'Annotations', root / f'{below}Annotations')
    shutil.copytree(source / 'JPEGImages', root / f'{below}seen')
    dataset = check_data.check(str(root)).dataset
    assert all(name.startswith(f'{below}{images}/') for name in images_of(dataset))


def test_the_file_that_the_xml_names_is_taken(voc: Path) -> None:
    (voc / 'other').mkdir()
    os.rename(voc / 'JPEGImages/train_0.jpg', voc / 'other/first.jpg')
    noise(voc / 'more/first.jpg', seed=1)
    path = voc / 'Annotations/train_0.xml'
    path.write_text(
        path.read_text().replace(
            '<filename>train_0.jpg', '<folder>other</folder><filename>first.jpg'
        )
    )
    assert images_of(check_data.check(str(voc)).dataset)[0] == 'other/first.jpg'


def test_several_images_of_the_name_are_an_error(voc: Path) -> None:
    for folder in ('a', 'b'):
        noise(voc / folder / 'train_0.jpg', seed=ord(folder))
    (voc / 'JPEGImages/train_0.jpg').unlink()
    assert 'ambiguous-image' in found_kinds(voc)


def test_the_only_folder_with_all_images_is_taken(voc: Path) -> None:
    """As train_images beside test_images, whose files are numbered from 1 as well."""
    shutil.rmtree(voc / 'ImageSets')
    (voc / 'JPEGImages').rename(voc / 'photos')
    noise(voc / 'others/train_0.jpg', seed=9)
    assert all(name.startswith('photos/') for name in images_of(check_data.check(str(voc)).dataset))


def test_a_name_that_contradicts_the_file_is_an_error(voc: Path) -> None:
    path = voc / 'Annotations/train_0.xml'
    path.write_text(path.read_text().replace('<filename>train_0', '<filename>train_1'))
    assert 'ambiguous-image' in found_kinds(voc)
    (voc / 'JPEGImages/train_1.jpg').rename(voc / 'JPEGImages/train_1.png')
    assert 'ambiguous-image' not in found_kinds(voc), 'the file that it names is not there'


def test_of_two_suffixes_the_one_that_is_named_is_taken(voc: Path) -> None:
    noise(voc / 'JPEGImages/train_0.png', seed=1)
    dataset = check_data.check(str(voc)).dataset
    assert images_of(dataset)[0] == 'JPEGImages/train_0.jpg'


def test_linked_folders_are_followed_without_loops(voc: Path, tmp_path: Path) -> None:
    expected = images_of(check_data.check(str(voc)).dataset)
    shutil.move(voc / 'JPEGImages', tmp_path / 'elsewhere')
    (voc / 'JPEGImages').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'elsewhere/loop').symlink_to(voc)
    report = check_data.check(str(voc))
    assert images_of(report.dataset) == expected and not report.faults.errors
    assert len(list_images(voc)) == 9 == len(find_images([str(voc)]).inside)
    shutil.move(voc / 'Annotations', tmp_path / 'labels')
    (voc / 'Annotations').symlink_to(tmp_path / 'labels')
    shutil.rmtree(voc / 'ImageSets')
    assert len(images_of(check_data.check(str(voc)).dataset)) == 9


def mark(root: Path, tag: str, *names: str, value: str = '1') -> None:
    for name in names:
        path = root / f'Annotations/{name}.xml'
        text = path.read_text().replace('<bndbox>', f'<{tag}>{value}</{tag}><bndbox>', 1)
        path.write_text(text)


def test_difficult_objects_are_named_and_not_counted(voc: Path, tmp_path: Path) -> None:
    extra = (
        f'<object><name>{CLASSES[1]}</name><difficult>1</difficult><bndbox><xmin>2</xmin>'
        '<ymin>2</ymin><xmax>20</xmax><ymax>20</ymax></bndbox></object></annotation>'
    )
    path = voc / 'Annotations/val_0.xml'
    path.write_text(path.read_text().replace('</annotation>', extra))
    mark(voc, 'difficult', 'train_0')
    mark(voc, 'truncated', 'train_1', 'train_2')
    mark(voc, 'occluded', 'train_1', value='0')
    report = check_data.check(str(voc))
    faults = {f.kind: f.count for f in report.faults.warnings if f.place.endswith('Annotations')}
    assert faults == {'difficult': 2} and not report.faults.errors
    assert report.counts['train']['marked truncated'] == 2
    assert 'marked occluded' not in report.counts['train']
    out = tmp_path / 'own.py'
    out.write_text(new_config(report.dataset, base='retinanet_cloformer_nano_small', out=out))
    cfg = Config.fromfile(out)
    dataset = DATASETS.build(dict(cfg.val_dataloader.dataset, pipeline=[]))
    metric = METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        kept = [x for x in info['instances'] if not x['ignore_flag']]
        assert len(info['instances']) - len(kept) == (i == 0)
        metric.process({}, [sample_of(info, kept)])
    assert metric.evaluate(len(dataset))['coco/bbox_mAP'] == 1, 'what is not found does not count'


@pytest.mark.parametrize('value', ['1', 'true', 'True', ' 1 '])
def test_all_difficult_is_an_error(value: str, voc: Path) -> None:
    mark(voc, 'difficult', *(f'val_{i}' for i in range(3)), value=value)
    errors = {f.kind for f in check_data.check(str(voc)).faults.errors}
    assert errors == {'mostly-crowd'}


def test_lists_of_windows_and_with_suffixes_are_read(voc: Path) -> None:
    file = voc / 'ImageSets/Main/train.txt'
    lines = [f'{name}.jpg' for name in file.read_text().split()]
    file.write_bytes('\ufeff'.encode() + '\r\n'.join(lines).encode())
    assert len(images_of(check_data.check(str(voc)).dataset)) == 6


@pytest.mark.parametrize('name', ['valid', 'validation', 'Val'])
def test_the_list_of_validation_images_has_any_usual_name(name: str, voc: Path) -> None:
    lists = voc / 'ImageSets/Main'
    (lists / 'val.txt').rename(lists / f'{name}.txt')
    report = check_data.check(str(voc))
    assert report.faults.errors == [] and [*report.dataset.splits] == ['train', 'val']


@pytest.mark.parametrize(
    'text, kind, said',
    [
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', 'broken-file', 'klingon'),
        ('<annotations><image/></annotations>', 'wrong-structure', 'the format of CVAT'),
        ('<html/>', 'wrong-structure', '<html> instead of <annotation>'),
        ('<!DOCTYPE x [<!ENTITY a "aa">]><annotation>&a;</annotation>', 'broken-file', 'train_0'),
    ],
)
def test_xml_of_another_kind_is_an_error(text: str, kind: str, said: str, voc: Path) -> None:
    (voc / 'Annotations/train_0.xml').write_text(text)
    report = check_data.check(str(voc))
    assert kind in {f.kind for f in report.faults.errors}
    assert said in check_data.text(report)


@pytest.mark.parametrize('width', ['6²', '٦٤', '9' * 5000, '64.0', ''])
def test_a_width_that_is_no_number_is_left_out(width: str, voc: Path) -> None:
    path = voc / 'Annotations/train_0.xml'
    path.write_text(path.read_text().replace('<width>64<', f'<width>{width}<'))
    report = check_data.check(str(voc))
    assert report.dataset.splits['train'].records['images'][0]['width'] == 64
    assert not report.faults.errors


def test_a_pipe_in_place_of_a_label_does_not_hang(voc: Path) -> None:
    (voc / 'Annotations/train_0.xml').unlink()
    os.mkfifo(voc / 'Annotations/train_0.xml')
    os.mkfifo(voc / 'JPEGImages/pipe.jpg')
    assert 'missing-label' in found_kinds(voc)
