"""The check of datasets finds every mistake in the list, and nothing in a clean dataset."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import supervision
import yaml
from conftest import tool
from mmdet.registry import DATASETS
from mmengine.config import Config
from own_data import (
    CLASSES,
    NUMBER,
    POLYGON,
    SIZE,
    json_file,
    make_coco,
    make_masks,
    make_voc,
    make_yolo,
    noise,
    write,
)
from PIL import Image

from backbones.cli import check_data
from backbones.data import contact_sheet
from backbones.data.check_dataset import Report, check_dataset
from backbones.data.checks.config_datasets import images_per_epoch, read_datasets
from backbones.data.faults.faults import KINDS, Faults
from backbones.errors import UserError
from backbones.openmmlab import config
from backbones.package_files import config_file
from backbones.training import preflight


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    return make_coco(tmp_path / 'my data')


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return make_masks(tmp_path / 'masks')


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    return make_yolo(tmp_path / 'yolo')


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    return make_voc(tmp_path / 'voc')


def kinds(report: Report) -> set[str]:
    return {fault.kind for fault in report.faults.found.values()}


@pytest.mark.parametrize('layout', ['coco', 'masks', 'yolo', 'voc'])
def test_a_clean_dataset_has_no_fault(layout: str, request) -> None:
    root = request.getfixturevalue(layout)
    for path in [path for path in root.rglob('*') if path.is_file()]:
        path.with_name(f'._{path.name}').write_bytes(b'\0\5\x16\7')  # as macOS does
    report = check_data.check(str(root))
    assert not report.faults.lines()
    assert report.dataset.layout == layout
    assert [report.counts[split]['images'] for split in NUMBER] == [6, 3]
    assert set(CLASSES) <= {*report.classes, *(CLASSES if layout == 'masks' else ())}
    last = report.dataset.classes[-1]
    assert report.classes[last] == dict(train=3, val=1)
    assert '0 errors, 0 warnings' in check_data.text(report)


def change(root: Path, do: Callable[[dict], object], split: str = 'train') -> None:
    content = json.loads(json_file(root, split).read_text())
    do(content)
    write(root, split, content)


def each(list_name: str, **fields: object) -> Callable[[dict], None]:
    """Set fields in all entries of a list; a callable computes the value from the old one."""

    def do(content: dict) -> None:
        for entry in content[list_name]:
            for key, value in fields.items():
                entry[key] = value(entry.get(key)) if callable(value) else value

    return do


def without(list_name: str, key: str) -> Callable[[dict], None]:
    return lambda content: [entry.pop(key) for entry in content[list_name]]


def first(list_name: str, **fields: object) -> Callable[[dict], None]:
    return lambda content: content[list_name][0].update(fields)


def corners(box: list[float]) -> list[float]:
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


JSON_MISTAKES = [
    ('box-corners', each('annotations', bbox=corners)),
    ('box-corners', each('annotations', bbox=[30, 20, 60, 44], area=720, segmentation=None)),
    ('box-fractions', each('annotations', bbox=[0.1, 0.1, 0.5, 0.5])),
    ('box-outside', first('annotations', bbox=[70, 8, 32, 24])),
    ('box-outside', first('annotations', bbox=[-40, 8, 32, 24])),
    ('box-beyond', first('annotations', bbox=[40, 8, 32, 24])),
    ('box-empty', first('annotations', bbox=[8, 8, 0, 24])),
    ('box-empty', first('annotations', bbox=[8, 8, 32, -24])),
    ('broken-box', first('annotations', bbox=[8, 8, 32])),
    ('text-numbers', first('annotations', bbox=['8', 8, 32, 24])),
    ('broken-box', first('annotations', bbox=['left', 8, 32, 24])),
    ('broken-box', first('annotations', bbox=None)),
    ('broken-box', first('annotations', bbox=[8, 8, float('nan'), 24])),
    ('box-beside-mask', first('annotations', bbox=[8, 8, 8, 8], area=64)),
    ('area-empty', first('annotations', area=0)),
    ('null-field', first('annotations', area=None)),
    ('null-field', first('annotations', iscrowd=None)),
    ('url-file-name', first('images', file_name='https://a.example/x.png')),
    ('mask-hole', first('annotations', segmentation=[POLYGON, [16, 16, 24, 16, 24, 24]])),
    ('masks-differ', without('annotations', 'segmentation')),
    ('broken-box', first('annotations', bbox=[10**400, 8, 32, 24])),
    ('mask-broken', first('annotations', segmentation=[[10**400, 8, 40, 8, 40, 32]])),
    ('wrong-type', first('images', width=10**400)),
    ('area-too-large', first('annotations', area=5000)),
    ('area-too-small', each('annotations', area=1, segmentation=[])),
    ('wrong-type', first('categories', id=1 << 53)),
    ('wrong-type', first('images', id=-(1 << 62))),
    ('size-swapped', each('images', width=48, height=64)),
    ('size-differs', first('images', width=640, height=480)),
    ('null-field', without('annotations', 'area')),
    ('missing-field', without('annotations', 'bbox')),
    ('missing-field', without('annotations', 'image_id')),
    ('missing-field', without('images', 'id')),
    ('missing-field', without('images', 'file_name')),
    ('text-numbers', each('images', id=str)),
    ('wrong-type', each('images', id='a{}'.format)),
    ('wrong-type', first('images', id=[1])),
    ('wrong-type', first('annotations', category_id={})),
    ('missing-image', first('images', file_name='ä' * 300)),
    ('mask-broken', first('annotations', segmentation=dict(size=[48, 64], counts=[-5, 3077]))),
    ('unknown-image', first('annotations', image_id=999)),
    ('text-numbers', each('annotations', image_id=str)),
    ('unknown-class', first('annotations', category_id=1)),
    ('unknown-class', first('annotations', category_id='tree')),
    ('duplicate-id', each('annotations', id=1)),
    ('duplicate-id', each('images', id=0)),
    ('duplicate-id', each('categories', id=3)),
    ('duplicate-class', each('categories', name='tree')),
    ('unnamed-class', first('categories', name=' ')),
    ('classes-differ', first('categories', name='Flower')),
    ('similar-classes', first('categories', name='Tree')),
    ('duplicate-file-name', each('images', file_name='Bäume 1.png')),
    ('missing-image', first('images', file_name='gone.png')),
    ('image-elsewhere', first('images', file_name='bäume 0.PNG')),
    ('image-elsewhere', first('images', file_name='train\\Bäume 0.png')),
    ('no-annotations', lambda content: content['annotations'].clear()),
    ('empty-split', lambda content: content['images'].clear()),
    ('wrong-structure', lambda content: content.pop('annotations')),
    ('wrong-structure', lambda content: content.pop('categories')),
    ('wrong-structure', lambda content: content['annotations'].append('x')),
    ('mask-missing', first('annotations', segmentation=[])),
    ('mask-broken', first('annotations', segmentation=[[8, 8, 40, 8]])),
    ('mask-broken', first('annotations', segmentation=[[8, 8, 40, 8, 40, 32, 8]])),
    ('mask-missing', first('annotations', segmentation=[[]])),
    ('mask-broken', first('annotations', segmentation=[[], POLYGON])),
    ('mask-broken', first('annotations', segmentation=POLYGON)),
    ('mask-broken', first('annotations', segmentation=[[8, 8, 8, 8, 8, 8]])),
    ('mask-broken', first('annotations', segmentation=dict(size=[48, 64], counts=[5, 5]))),
    ('mask-broken', first('annotations', segmentation=dict(size=[48, 64], counts=[48 * 64]))),
    ('mask-broken', first('annotations', segmentation='polygon')),
    ('mask-broken', first('annotations', segmentation=dict(size=[48, 64], counts=['1', '2']))),
    ('mask-broken', first('annotations', segmentation=dict(size=[48, 64], counts='ääää'))),
    ('mask-size', first('annotations', segmentation=dict(size=[64, 48], counts=[10, 3062]))),
    ('mask-beyond', first('annotations', segmentation=[[8, 8, 90, 8, 90, 32, 8, 32]])),
    ('only-crowds', each('annotations', iscrowd=1)),
    ('mostly-crowd', lambda c: [a.update(iscrowd=1) for a in c['annotations'][1:]]),
    ('crowd', first('annotations', iscrowd=1)),
    ('marked-ignore', first('annotations', ignore=1)),
    ('keypoints-dropped', first('annotations', keypoints=[1, 2, 2])),
    ('duplicate-annotation', lambda c: c['annotations'].append(dict(c['annotations'][0], id=99))),
    ('without-objects', lambda content: content['annotations'].pop()),
    ('class-unseen', each('annotations', category_id=3)),
    ('unused-image', lambda content: (content['images'].pop(), content['annotations'].pop())),
    ('wrong-type', first('images', file_name=5)),
    ('text-numbers', each('images', width='64')),
    ('wrong-type', each('images', width='wide')),
    ('text-numbers', first('annotations', iscrowd='0')),
    ('missing-field', first('images', file_name='')),
    ('blank-in-name', each('categories', name=lambda name: f'{name} ')),
    ('absolute-path', first('images', file_name='../train/Bäume 0.png')),
]  # fmt: skip


@pytest.mark.parametrize('kind, mistake', JSON_MISTAKES)
def test_a_mistake_in_the_json_is_found(kind: str, mistake: Callable, coco: Path) -> None:
    change(coco, mistake)
    report = check_data.check(str(coco))
    assert kind in kinds(report)
    assert kind in check_data.text(report)


VALIDATION_MISTAKES = [
    ('no-annotations', lambda content: content['annotations'].clear()),
    ('class-not-judged', each('annotations', category_id=3)),
]


@pytest.mark.parametrize('kind, mistake', VALIDATION_MISTAKES)
def test_a_mistake_in_the_validation_json_is_found(
    kind: str, mistake: Callable, coco: Path
) -> None:
    change(coco, mistake, split='val')
    assert kind in kinds(check_data.check(str(coco)))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def turned(path: Path, orientation: int = 6) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)


def save_as(**kwargs) -> Callable[[Path], None]:
    """Replace an image by one of another kind, under the same name."""

    def do(path: Path) -> None:
        noise(path, **{k: v for k, v in kwargs.items() if k != 'format'})
        if 'format' in kwargs:
            Image.open(path).save(path, format=kwargs['format'])

    return do


def deep(path: Path) -> None:
    Image.fromarray(np.full(SIZE[::-1], 4000, np.uint16)).save(path)


IMAGE_MISTAKES = [
    ('missing-image', Path.unlink),
    ('empty-file', lambda path: path.write_bytes(b'')),
    ('not-an-image', lambda path: path.write_text('<!DOCTYPE html><html></html>')),
    ('not-an-image', lambda path: path.write_text('version https://git-lfs.github.com/spec/v1')),
    ('damaged-image', cut),
    ('damaged-image', lambda path: path.write_bytes(path.read_bytes()[:20])),
    ('deep-image', deep),
    ('transparent-image', save_as(mode='RGBA')),
    ('small-image', save_as(size=(20, 20))),
    ('size-swapped', turned),
    ('size-differs', save_as(size=(32, 32))),
    ('unsupported-format', save_as(format='PCX')),
    ('several-frames', lambda path: Image.open(path).save(
        path, save_all=True, append_images=[Image.new('RGB', SIZE)])),
]  # fmt: skip


@pytest.mark.parametrize('kind, mistake', IMAGE_MISTAKES)
def test_a_bad_image_file_is_found(kind: str, mistake: Callable, coco: Path) -> None:
    mistake(coco / 'train/Bäume 1.png')
    report = check_data.check(str(coco))
    assert kind in kinds(report)
    examples = [e for f in report.faults.found.values() if f.kind == kind for e in f.examples]
    assert any('Bäume 1.png' in example for example in examples)


@pytest.mark.parametrize('mode', ['L', 'P', '1'])
def test_grey_and_palette_images_are_no_fault(mode: str, coco: Path) -> None:
    noise(coco / 'train/Bäume 1.png', mode=mode)
    assert not kinds(check_data.check(str(coco)))


def test_damage_in_the_middle_is_found_by_decoding(masks: Path) -> None:
    path = masks / 'masks/train/0.png'
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert 'damaged-image' in kinds(check_data.check(str(masks)))


def test_images_that_are_turned_are_warned_of(yolo: Path) -> None:
    turned(yolo / 'images/train/0.jpg')
    report = check_data.check(str(yolo))
    assert kinds(report) == {'turned-image'} and not report.faults.errors
    (entry, *_) = report.dataset.splits['train'].records['images']
    assert (entry['width'], entry['height']) == SIZE[::-1]


def test_names_with_another_suffix_are_suggested(coco: Path) -> None:
    path = coco / 'train/Bäume 1.png'
    path.rename(path.with_suffix('.webp'))
    text = check_data.text(check_data.check(str(coco)))
    assert 'missing-image' in text and 'Bäume 1.png (there is Bäume 1.webp' in text


def copy_over(source: str, target: str) -> Callable[[Path], object]:
    return lambda root: shutil.copy(root / source, root / target)


def labels(path: str, values: object) -> Callable[[Path], None]:
    """Write a label map of one value, or of an array."""

    def do(root: Path) -> None:
        array = values if isinstance(values, np.ndarray) else np.full(SIZE[::-1], values, np.uint8)
        Image.fromarray(array).save(root / path)

    return do


def every_value(root: Path) -> None:
    """More values than there can be classes without names."""
    labels(
        'masks/train/0.png',
        np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(4, 1).repeat(3, 0),
    )(root)


def all_255(root: Path) -> None:
    for path in (root / 'masks').rglob('*.png'):
        labels(str(path.relative_to(root)), (np.asarray(Image.open(path)) > 0) * np.uint8(255))(
            root
        )


COLOURS = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
MASK_MISTAKES = [
    ('label-0-255', all_255),
    ('label-values', labels('masks/train/0.png', 3)),
    ('label-values', labels('masks/train/0.png', np.full(SIZE[::-1], 700, np.uint16))),
    ('label-values', lambda root: Image.fromarray(np.full(SIZE[::-1], 0.7, np.float32)).save(
        root / 'masks/train/0.png', format='TIFF')),
    ('turned-image', lambda root: turned(root / 'images/train/0.jpg', 3)),
    ('label-ignored', labels('masks/train/0.png', 255)),
    ('label-size', labels('masks/train/0.png', np.zeros((40, 64), np.uint8))),
    ('label-size', labels('masks/val/0.png', np.zeros((64, 48), np.uint8))),
    ('label-size', lambda root: turned(root / 'images/train/0.jpg')),
    ('label-colour', labels('masks/train/0.png', COLOURS)),
    ('label-colour', labels('masks/train/0.png', np.dstack([COLOURS, COLOURS[..., :1]]))),
    ('label-compressed', lambda root: Image.open(root / 'masks/train/0.png').save(
        root / 'masks/train/0.png', format='JPEG')),
    ('missing-label', lambda root: (root / 'masks/train/0.png').unlink()),
    ('label-without-image', lambda root: (root / 'images/train/0.jpg').unlink()),
    ('missing-label', lambda root: (root / 'masks/train/0.png').rename(
        root / 'masks/train/0_mask.png')),
    ('ambiguous-name', lambda root: noise(root / 'images/train/0.png')),
    ('damaged-image', lambda root: cut(root / 'masks/train/0.png')),
    ('empty-file', lambda root: (root / 'masks/train/0.png').write_bytes(b'')),
    ('not-an-image', lambda root: (root / 'masks/train/0.png').write_text('<html>')),
    ('image-in-two-splits', copy_over('images/train/0.jpg', 'images/val/0.jpg')),
    ('image-twice', copy_over('images/train/0.jpg', 'images/train/1.jpg')),
    ('unnamed-labels', lambda root: (root / 'classes.txt').unlink()),
    ('no-class-names', lambda root: [(root / 'classes.txt').unlink(), every_value(root)]),
    ('no-validation', lambda root: shutil.rmtree(root / 'images/val')),
    ('no-training', lambda root: shutil.rmtree(root / 'images/train')),
    ('broken-file', lambda root: (root / 'classes.txt').write_bytes('ä\nb\nc'.encode('latin-1'))),
    ('duplicate-class', lambda root: (root / 'classes.txt').write_text('a\nb\nb')),
    ('class-unseen', lambda root: (root / 'classes.txt').write_text('a\nb\nc\nd\n')),
    ('unnamed-class', lambda root: (root / 'classes.txt').write_text('a\n\nb\nc\n\n')),
    ('wrong-classes', lambda root: (root / 'classes.txt').write_text(
        '\n'.join(map(str, range(150))))),
]  # fmt: skip


@pytest.mark.parametrize('kind, mistake', MASK_MISTAKES)
def test_a_mistake_in_label_maps_is_found(kind: str, mistake: Callable, masks: Path) -> None:
    mistake(masks)
    assert kind in kinds(check_data.check(str(masks)))


def test_names_that_are_given_take_the_place_of_a_bad_file(masks: Path) -> None:
    (masks / 'classes.txt').write_text('a\n\nb\n')
    report = check_data.check(str(masks), classes=['a', 'b', 'c'])
    assert not report.faults.lines() and report.dataset.classes == ('a', 'b', 'c')


def line(text: str) -> Callable[[Path], object]:
    return lambda root: (root / 'labels/train/0.txt').write_text(text + '\n')


def every_line(text: str) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        for path in root.glob('labels/*/*.txt'):
            path.write_text(text + '\n')

    return do


def data_yaml(**fields: object) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        content = yaml.safe_load((root / 'data.yaml').read_text()) | fields
        (root / 'data.yaml').write_text(yaml.safe_dump(content))

    return do


YOLO_MISTAKES = [
    ('unknown-class', line('2 0.5 0.5 0.2 0.2')),
    ('unknown-class', line('-1 0.5 0.5 0.2 0.2')),
    ('broken-box', line('0 0.5 0.5 0.2')),
    ('broken-box', line('tree 0.5 0.5 0.2 0.2')),
    ('broken-box', line('0 0.5 0.5 nan 0.2')),
    ('box-pixels', line('0 24 20 32 24')),
    ('box-empty', line('0 0.5 0.5 0 0.2')),
    ('box-beyond', line('0 0.9 0.5 0.5 0.2')),
    ('confidence-dropped', line('0 0.5 0.5 0.2 0.2 0.9')),
    ('mask-missing', line('0 0.1 0.1 0.5 0.1 0.5 0.5')),
    ('duplicate-annotation', line('0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2')),
    ('without-objects', line('')),
    ('label-without-image', lambda root: (root / 'images/train/0.jpg').unlink()),
    ('no-annotations', lambda root: shutil.rmtree(root / 'labels/val')),
    ('class-count', data_yaml(nc=3)),
    ('class-count', data_yaml(names={0: 'a', 2: 'b'})),
    ('class-count', data_yaml(names={'a': 0, 'b': 1})),
    ('unknown-class', line('inf 0.5 0.5 0.2 0.2')),
    ('unnamed-class', data_yaml(names=['a', ''])),
    ('wrong-yaml', data_yaml(kpt_shape=17)),
    ('keypoints-or-polygons', every_line('0 0.5 0.5 0.4 0.4 0.4 0.4 0.6 0.6')),
    (
        'labels-in-two-places',
        lambda root: shutil.move(root / 'labels/train/0.txt', root / 'images/train/0.txt'),
    ),
    ('unnamed-class', data_yaml(names=['a', None])),
    ('ambiguous-name', lambda root: noise(root / 'images/train/0.png')),
    ('missing-image', data_yaml(train='images/gone')),
    ('image-in-two-splits', data_yaml(val='images/train')),
]


@pytest.mark.parametrize('kind, mistake', YOLO_MISTAKES)
def test_a_mistake_in_yolo_files_is_found(kind: str, mistake: Callable, yolo: Path) -> None:
    mistake(yolo)
    assert kind in kinds(check_data.check(str(yolo)))


def replace(old: str, new: str) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        file = root / 'Annotations/train_0.xml'
        file.write_text(file.read_text().replace(old, new))

    return do


VOC_MISTAKES = [
    ('broken-file', replace('</annotation>', '')),
    ('broken-box', replace('<xmin>9</xmin>', '')),
    ('broken-box', replace('<xmin>9<', '<xmin>left<')),
    ('box-empty', replace('<xmax>40<', '<xmax>8<')),
    ('box-outside', replace('<xmin>9</xmin><ymin>9</ymin><xmax>40<',
                            '<xmin>90</xmin><ymin>9</ymin><xmax>99<')),
    ('box-beyond', replace('<xmax>40<', '<xmax>90<')),
    ('unknown-class', replace(f'<name>{CLASSES[0]}<', '<name><')),
    ('similar-classes', replace(CLASSES[0], 'Tree')),
    ('size-swapped', replace('<width>64</width><height>48</height>',
                             '<width>48</width><height>64</height>')),
    ('missing-label', lambda root: (root / 'Annotations/train_0.xml').unlink()),
    ('label-without-image', lambda root: (root / 'JPEGImages/train_0.jpg').unlink()),
]  # fmt: skip


@pytest.mark.parametrize('kind, mistake', VOC_MISTAKES)
def test_a_mistake_in_voc_files_is_found(kind: str, mistake: Callable, voc: Path) -> None:
    mistake(voc)
    assert kind in kinds(check_data.check(str(voc)))


def test_a_broken_json_names_file_and_place(coco: Path) -> None:
    cut(json_file(coco, 'train'))
    text = check_data.text(check_data.check(str(coco)))
    assert 'error [broken-file]' in text and 'train.json' in text and 'line 1 column' in text


@pytest.mark.parametrize(
    'content, message',
    [
        ('{"images": []}'.encode('utf-16'), 'not UTF-8; save it as UTF-8'),
        (b'[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', 'no list'),
        (b'null', 'no list "images"'),
    ],
)
def test_a_file_of_another_kind_is_not_passed_over(
    content: bytes, message: str, coco: Path
) -> None:
    json_file(coco, 'train').write_bytes(content)
    text = check_data.text(check_data.check(str(coco)))
    assert message in text and f'{json_file(coco, "train")}: annotation files' in text


@pytest.mark.parametrize(
    'content, message',
    [('train:\timages', 'data.yaml cannot be read: '), ('nc: 2', 'has no "names", the list of')],
)
def test_a_yaml_that_is_not_yolos_says_why(content: str, message: str, yolo: Path) -> None:
    (yolo / 'data.yaml').write_text(content)
    with pytest.raises(UserError, match=message):
        check_data.check(str(yolo))


def test_boxes_agree_with_those_of_supervision(yolo: Path, voc: Path) -> None:
    read = supervision.DetectionDataset
    theirs = (
        read.from_yolo(
            str(yolo / 'images/train'), str(yolo / 'labels/train'), str(yolo / 'data.yaml')
        ),
        read.from_pascal_voc(str(voc / 'JPEGImages'), str(voc / 'Annotations')),
    )
    for root, dataset in zip((yolo, voc), theirs):
        split = check_data.check(str(root)).dataset.splits['train']
        names = {
            image['id']: split.images / image['file_name'] for image in split.records['images']
        }
        for annotation in split.records['annotations']:
            expected = dataset.annotations[str(names[annotation['image_id']])]
            assert corners(annotation['bbox']) == pytest.approx(expected.xyxy[0].tolist(), abs=1e-3)
            name = split.records['categories'][annotation['category_id'] - 1]['name']
            assert name == dataset.classes[expected.class_id[0]]


def test_annotations_beside_the_images_of_each_split_are_found(coco: Path) -> None:
    for split in NUMBER:
        json_file(coco, split).rename(coco / split / '_annotations.coco.json')
    (coco / 'annotations').rmdir()
    (coco / 'val').rename(coco / 'valid')
    report = check_data.check(str(coco))
    assert not kinds(report) and list(report.dataset.splits) == ['train', 'val']


def test_what_is_no_dataset_says_what_is_expected(tmp_path: Path, coco: Path, masks: Path) -> None:
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match=r'has no images with the suffixes .*\n.*COCO'):
        check_data.check(str(tmp_path / 'empty'))
    shutil.copytree(masks, coco, dirs_exist_ok=True)
    report = check_data.check(str(coco))
    assert 'read as coco; it also holds masks: to read that, pass --layout masks' in report.notes[0]
    assert not kinds(check_data.check(str(coco), layout='masks'))
    assert check_data.check(str(coco), wants='label maps').dataset.layout == 'masks'
    make_voc(coco)
    with pytest.raises(UserError, match=r'several layouts: coco, voc; choose one with --layout'):
        check_data.check(str(coco))
    with pytest.raises(UserError, match=r"box-epmty.*did you mean 'box-empty'"):
        check_data.check(str(coco), layout='coco', allowed=['box-epmty'])


def test_the_tool_says_all_at_once_and_ends_with_1(coco: Path, tmp_path: Path) -> None:
    change(coco, first('annotations', bbox=[8, 8, 0, 24]))
    change(coco, first('images', file_name='gone.png'), split='val')
    out = tool('check_data', coco, '--json', tmp_path / 'report.json', fails=True)
    assert out.count('error [') == 2 and 'Traceback' not in out
    for part in ('[box-empty]', 'annotation 1 on Bäume 0.png of 64x48', 'remedy: correct or remove',
                 '[missing-image]', 'gone.png', '2 errors'):  # fmt: skip
        assert part in out
    faults = json.loads((tmp_path / 'report.json').read_text())['faults']
    assert {fault['kind'] for fault in faults if fault['level'] == 'error'} == {
        'box-empty', 'missing-image'}  # fmt: skip


def test_a_fault_that_is_meant_is_a_warning(coco: Path, tmp_path: Path) -> None:
    change(coco, first('annotations', bbox=[8, 8, 0, 24]))
    report = check_data.check(str(coco), allowed=['box-empty'])
    assert not report.faults.errors
    assert 'warning (allowed) [box-empty]' in check_data.text(report)


def test_contact_sheets_show_every_image(coco: Path, masks: Path, tmp_path: Path) -> None:
    for root in (coco, masks):
        paths = contact_sheet.draw(check_data.check(str(root)), tmp_path / 'pictures')
        assert [path.name for path in paths] == ['train.png', 'val.png']
        tiles = np.asarray(Image.open(paths[0]))
        assert tiles.shape[:2] == (
            2 * contact_sheet.SIDE + 2 * contact_sheet.LETTERS,
            4 * contact_sheet.SIDE,
        ), 'a legend'
        assert len(np.unique(tiles[:240, :320].reshape(-1, 3), axis=0)) > 100  # an image
        assert np.unique(tiles[320:640, 640:]).tolist() == [40]  # no image: there are only six


def config_of(root: Path, path: Path, text: str = '') -> Path:
    """A Mask R-CNN config for the dataset `coco`."""
    parts = {
        split: f"""{split}_dataloader = dict(dataset=dict(
    data_root={str(root)!r}, ann_file='annotations/{split}.json',
    metainfo=dict(classes={CLASSES}), data_prefix=dict(img='{split}/')))
"""
        for split in NUMBER
    }
    path.write_text(
        "_base_ = __import__('backbones').config_file('mask_rcnn_cloformer_nano_digits')\n"
        'heads = dict(bbox_head=dict(num_classes=2), mask_head=dict(num_classes=2))\n'
        'model = dict(roi_head=heads)\n'
        f'{parts["train"]}{parts["val"]}test_dataloader = val_dataloader\n{text}'
    )
    return path


CONFIG_MISTAKES = [
    ('wrong-config', 'model = dict(roi_head=dict(bbox_head=dict(num_classes=3)))'),
    ('wrong-config', "val_evaluator = dict(ann_file='data/coco/annotations/val.json')"),
    ('wrong-config', "val_dataloader['dataset']['metainfo'] = dict(classes=('tree', 'x'))"),
    ('missing-data', "train_dataloader['dataset']['ann_file'] = 'annotations/gone.json'"),
    ('image-in-two-splits', "val_dataloader['dataset'].update(ann_file='annotations/train.json', "
                            "data_prefix=dict(img='train/'))"),
    ('filtered-image', "train_dataloader['dataset']['filter_cfg'] = dict(min_size=64)"),
    ('schedule', 'train_cfg = dict(max_iters=60)'),
    ('schedule', "param_scheduler = [dict(type='MultiStepLR', milestones=[8, 11])]"),
    ('unsaved', 'default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))'),
    ('wrong-config', "train_dataloader['batch_size'] = '2'"),
    ('wrong-config', "val_dataloader['dataset']['pipeline'] = [*_base_.test_pipeline[:2]]"),
    ('wrong-config', "train_dataloader['dataset']['pipeline'] = [dict(type='LoadAnnotations')]"),
    ('class-left-out', "train_dataloader['dataset']['metainfo'] = dict(classes=('tree',))"),
    ('wrong-config', "val_dataloader['dataset']['pipeline'] = [dict(_base_.test_pipeline[0], "
                     "color_type='unchanged'), *_base_.test_pipeline[1:]]"),
    ('drawn-validation', "val_dataloader['dataset']['pipeline'] = [*_base_.test_pipeline[:3], "
                         "dict(type='mmdet.RandomFlip', prob=0.5), _base_.test_pipeline[3]]"),
    ('wrong-config', "train_dataloader['dataset']['pipeline'] = [*_base_.train_pipeline[:2], "
                     "dict(type='Normalize', mean=[0], std=[1]), _base_.train_pipeline[2]]"),
    ('channel-order', "model['data_preprocessor'] = dict(bgr_to_rgb=False, "
                      'mean=[123.675, 116.28, 103.53])'),
]  # fmt: skip


@pytest.mark.parametrize('kind, text', CONFIG_MISTAKES)
def test_a_mistake_in_a_config_is_found(kind: str, text: str, coco: Path, tmp_path: Path) -> None:
    path = config_of(coco, tmp_path / 'own.py')
    assert not kinds(check_data.check(str(path)))
    report = check_data.check(str(config_of(coco, path, text)))
    assert kind in kinds(report)


def test_all_datasets_that_a_config_joins_are_checked(coco: Path, tmp_path: Path) -> None:
    second = make_coco(tmp_path / 'second')
    change(second, first('annotations', bbox=[8, 8, 0, 24]))
    joined = f"""
__one = dict(type='CocoDataset', pipeline=_base_.train_pipeline, **train_dataloader['dataset'])
__two = dict(type='RepeatDataset', times=5, dataset=dict(__one, data_root={str(second)!r}))
train_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[__one, __two]))
"""
    cfg = loaded(config_of(coco, tmp_path / 'own.py', joined))
    faults = Faults()
    dataset = read_datasets(cfg, faults)
    report = check_dataset(dataset, faults)
    (fault,) = report.faults.errors
    assert fault.kind == 'box-empty' and fault.place == str(json_file(second, 'train'))
    assert [*report.counts] == ['train', 'train 2', 'val']
    assert images_per_epoch(cfg, dataset) == 6 + 5 * 6
    assert all('train 2' in counts for counts in report.classes.values())


def test_what_a_dataset_leaves_out_is_counted(coco: Path, tmp_path: Path) -> None:
    """As MMDetection counts it."""
    changes = [dict(ignore=1), dict(area=0), dict(bbox=[8, 8, 0.5, 24]), dict(bbox=[70, 8, 9, 9])]
    change(coco, lambda c: [a.update(f) for a, f in zip(c['annotations'], changes)])
    rule = "train_dataloader['dataset']['filter_cfg'] = dict(filter_empty_gt=True, min_size=32)"
    change(coco, lambda c: c['annotations'].pop())
    cfg = loaded(config_of(coco, tmp_path / 'own.py', rule))
    split = read_datasets(cfg, Faults()).splits['train']
    made = DATASETS.build(dict(cfg.train_dataloader.dataset, pipeline=[], _scope_='mmdet'))
    kept = sum(len(made.get_data_info(i)['instances']) for i in range(len(made)))
    assert split.left_out['annotations'] == {
        'ignore': 1, 'empty box or area': 2, 'outside the image': 1}  # fmt: skip
    assert kept == len(split.records['annotations']) - 4 == 1
    assert len(made) == len(split.paths()) - split.left_out['images'].total() == 5


def test_images_that_a_config_passes_over_are_found(masks: Path, tmp_path: Path) -> None:
    text = (
        "_base_ = __import__('backbones').config_file('upernet_cloformer_nano_digits')\n"
        "metainfo = dict(classes=('background', 'flower', 'tree'))\n"
        'model = dict(decode_head=dict(num_classes=3))\n'
        f'__data = dict(data_root={str(masks)!r}, metainfo=metainfo, img_suffix=SUFFIX)\n'
        'train_dataloader = dict(dataset=dict(**__data, data_prefix=dict(\n'
        "    img_path='images/train', seg_map_path='masks/train')))\n"
        'val_dataloader = dict(dataset=dict(**__data, data_prefix=dict(\n'
        "    img_path='images/val', seg_map_path='masks/val')))\n"
        'test_dataloader = val_dataloader\n'
    )
    path = tmp_path / 'own.py'
    path.write_text(text.replace('SUFFIX', "'.jpg'"))
    assert not kinds(check_data.check(str(path)))
    noise(masks / 'images/train/more.png')
    (masks / 'masks/val/0.png').rename(masks / 'masks/val/0.tif')
    report = check_data.check(str(path))
    assert {fault.kind for fault in report.faults.errors} == {'mixed-suffixes', 'missing-label'}
    assert '0.png (there is 0.tif)' in check_data.text(report)
    path.write_text(text.replace('SUFFIX', "'.png'"))
    assert 'where img_suffix is .png' in check_data.text(check_data.check(str(path)))


@pytest.mark.parametrize(
    'text, said',
    [
        ("model['decode_head']['ignore_index'] = 0", 'it is 255 in train_dataloader.dataset'),
        ('val_evaluator = dict(ignore_index=7)', '7 in val_evaluator'),
        ("val_dataloader['dataset']['reduce_zero_label'] = True", 'label 0 means "ignore"'),
    ],
)
def test_parts_that_ignore_different_labels_are_found(text, said, masks: Path, tmp_path) -> None:
    path = tmp_path / 'own.py'
    plain = (
        "_base_ = __import__('backbones').config_file('upernet_cloformer_nano_digits')\n"
        "metainfo = dict(classes=('background', 'flower', 'tree'))\n"
        'model = dict(decode_head=dict(num_classes=3))\n'
        f"__data = dict(data_root={str(masks)!r}, metainfo=metainfo, img_suffix='.jpg')\n"
        'train_dataloader = dict(dataset=dict(**__data, data_prefix=dict(\n'
        "    img_path='images/train', seg_map_path='masks/train')))\n"
        'val_dataloader = dict(dataset=dict(**__data, data_prefix=dict(\n'
        "    img_path='images/val', seg_map_path='masks/val')))\n"
    )
    same = 'test_dataloader = val_dataloader\n'
    path.write_text(plain + same)
    assert not kinds(check_data.check(str(path)))
    path.write_text(f'{plain}{text}\n{same}')
    report = check_data.check(str(path))
    assert 'wrong-config' in kinds(report) and said in check_data.text(report)


def test_a_mask_detector_needs_masks(coco: Path, tmp_path: Path) -> None:
    change(coco, without('annotations', 'segmentation'))
    text = check_data.text(check_data.check(str(config_of(coco, tmp_path / 'own.py'))))
    assert 'the pipeline loads masks, but no annotation has a segmentation' in text


def loaded(path: Path) -> Config:
    return config.load_config(
        str(path), options=None, work_dir=None, data_root=None, launcher='none'
    )


def test_a_training_is_refused_with_all_that_is_wrong(coco: Path, tmp_path: Path) -> None:
    path = config_of(coco, tmp_path / 'own.py')
    assert preflight.check(loaded(path))[1] == []
    change(coco, first('annotations', bbox=[8, 8, 0, 24]))
    (coco / 'val/Bäume 0.png').write_bytes(b'')
    with pytest.raises(UserError, match=r'allow_faults') as caught:
        preflight.check(loaded(path))
    assert '[box-empty]' in str(caught.value) and '[empty-file]' in str(caught.value)
    config_of(coco, path, "allow_faults = ['box-empty', 'empty-file']")
    assert preflight.check(loaded(path))[1] == []


def test_a_training_says_what_is_likely_a_mistake(coco: Path, tmp_path: Path) -> None:
    path = config_of(coco, tmp_path / 'own.py', 'train_cfg = dict(max_iters=60)')
    _, (line, *_) = preflight.check(loaded(path))
    assert line.startswith('[schedule] param_scheduler.0: ') and '\n' not in line
    assert line.endswith('e.g. the warm-up ends after 50 iterations; the run has 60 iterations')


def test_slips_of_a_published_dataset_do_not_stop_a_training(trees: Path) -> None:
    path = config_file('mask_rcnn_dilateformer_t_coco')
    cfg = config.load_config(
        path, options=None, work_dir=None, data_root=str(trees / 'coco'), launcher='none'
    )
    cfg.model.backbone.init_cfg = None
    file = trees / 'coco/annotations/instances_val2017.json'
    whole = file.read_text()
    content = json.loads(whole)
    content['annotations'][0]['bbox'] = [8, 8, 0, 24]  # COCO has two such boxes
    file.write_text(json.dumps(content))
    try:
        preflight.check(cfg)
        cfg.val_dataloader.dataset.metainfo = dict(classes=('person',))
        with pytest.raises(UserError, match='box-empty'):
            preflight.check(cfg)
    finally:
        file.write_text(whole)


@pytest.mark.parametrize(
    'name, root', [('mask_rcnn_dilateformer_t_coco', 'coco'), ('upernet_cswin_t_ade20k', 'ade')]
)
def test_class_names_of_the_library_are_not_doubted(name: str, root: str, trees: Path) -> None:
    cfg = config.load_config(
        config_file(name), options=None, work_dir=None, data_root=str(trees / root), launcher='none'
    )
    cfg.model.backbone.init_cfg = None
    doubts = {line.split(']')[0].strip('[') for line in preflight.check(cfg)[1]}
    assert not doubts & {'blank-in-name', 'similar-classes'}  # MMSegmentation's 'bed '


# in tests/data/layouts/test_layouts.py
OF_LAYOUTS = {'boxes-joined', 'broken-shape', 'files-conflict', 'image-elsewhere', 'label-unmapped',
              'unnamed-numbers',
              'names-conflict', 'rotated-box', 'several-folders',
              'root-category', 'shape-left-out', 'test-missing', 'void-ignored'}  # fmt: skip


def test_every_kind_of_fault_is_tried() -> None:
    lists = (JSON_MISTAKES, VALIDATION_MISTAKES, IMAGE_MISTAKES, MASK_MISTAKES, YOLO_MISTAKES,
             VOC_MISTAKES)  # fmt: skip
    tried = {kind for mistakes in lists for kind, _ in mistakes} | {'broken-file', 'turned-image'}
    # in separate files
    tried |= {'ambiguous-image', 'channels-differ', 'control-character', 'difficult'}
    tried |= {'embedded-image', 'grey-split', 'label-instances', 'other-split', 'palettes-differ'}
    tried |= {'scales-differ', 'unnamed-colours', 'unnamed-objects'}
    tried |= {'test-unannotated', 'too-many-pixels', 'unread-format', *OF_LAYOUTS}
    of_configs = {'filtered-image', 'class-left-out', 'class-order', 'missing-data',
                  'annotation-id-zero', 'channel-order', 'drawn-validation', 'mixed-suffixes',
                  'schedule', 'unsaved', 'wrong-config'}  # fmt: skip
    assert KINDS.keys() - tried == of_configs
