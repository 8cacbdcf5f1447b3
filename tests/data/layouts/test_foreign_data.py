"""Folders from other programs: each is read correctly, or a message says what to do."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
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
    sample_of,
)
from PIL import Image
from pycocotools import mask as coco_mask

from backbones.cli import check_data
from backbones.data.configs.new_config import new_config
from backbones.data.layouts.foreign import JSON_SIGNS, describe
from backbones.errors import UserError

Change = Callable[[Path], object]


def each_annotation(**fields: object) -> Change:
    """Set fields of all annotations; a callable computes the value from the annotation."""

    def do(root: Path) -> None:
        for split in NUMBER:
            content = json.loads(json_file(root, split).read_text())
            for entry in content['annotations']:
                for key, value in fields.items():
                    entry[key] = value(entry) if callable(value) else value
            json_file(root, split).write_text(json.dumps(content))

    return do


def each_image(name: Callable[[str], str]) -> Change:
    def do(root: Path) -> None:
        for split in NUMBER:
            content = json.loads(json_file(root, split).read_text())
            for entry in content['images']:
                entry['file_name'] = name(entry['file_name'])
            json_file(root, split).write_text(json.dumps(content))

    return do


def add_wrong_image(root: Path) -> None:
    """An image that is nowhere, and two that are elsewhere."""
    content = json.loads(json_file(root, 'train').read_text())
    for entry, name in zip(content['images'], ('elsewhere/x.png', 'C:\\a\\Bäume 1.png')):
        entry['file_name'] = name
    json_file(root, 'train').write_text(json.dumps(content))


def code(entry: dict) -> dict:
    made = coco_mask.frPyObjects([POLYGON], 48, 64)[0]
    return dict(size=[48, 64], counts=str(made['counts']))  # "b'...'"


HOLE = [16, 16, 16, 24, 24, 24, 24, 16]


def label_studio(root: Path) -> None:
    """images/NAME is beside each split's JSON file, which calls it images\\1/NAME."""
    each_image(lambda name: f'images\\1/{name}')(root)
    for split in NUMBER:
        shutil.move(root / split, root / 'x')
        shutil.move(root / 'x', root / split / 'images')
        json_file(root, split).rename(root / split / 'result.json')
    (root / 'annotations').rmdir()


def other_ids(root: Path) -> None:
    content = json.loads(json_file(root, 'val').read_text())
    for part, key in (('annotations', 'category_id'), ('categories', 'id')):
        for entry in content[part]:
            entry[key] = {3: 8, 7: 5}[entry[key]]
    content['categories'].reverse()
    json_file(root, 'val').write_text(json.dumps(content))


def without_masks_in_val(root: Path) -> None:
    content = json.loads(json_file(root, 'val').read_text())
    for entry in content['annotations']:
        del entry['segmentation']
    json_file(root, 'val').write_text(json.dumps(content))


def unannotated_test(root: Path) -> None:
    noise(root / 'test/only.png')
    entry = dict(id=1, file_name='only.png', width=64, height=48)
    categories = json.loads(json_file(root, 'train').read_text())['categories']
    content = dict(images=[entry], annotations=[], categories=categories)
    json_file(root, 'test').write_text(json.dumps(content))


def grey_as(mode: str) -> Change:
    def do(root: Path) -> None:
        for path in root.glob('masks/*/*.png'):
            grey = Image.open(path)
            Image.merge(mode, [grey] * len(mode)).save(path)

    return do


def renamed(pattern: str, name: Callable[[Path], str]) -> Change:
    return lambda root: [path.rename(path.with_name(name(path))) for path in root.glob(pattern)]


def many_classes(root: Path) -> None:
    (root / 'classes.txt').write_text('\n'.join(map(str, range(300))))
    values = np.full(SIZE[::-1], 299, np.uint16)
    for path in root.glob('masks/*/*.png'):
        Image.fromarray(values).save(path)


def add(*names: str) -> Change:
    return lambda root: [(root / name).write_bytes(b'....ftypheic') for name in names]


# the folder, the change, the errors, the warnings, and the message
FOLDERS = [
    (make_coco, label_studio, set(), {'image-elsewhere'}, 'images\\1/Bäume 0.png is images/Bäume'),
    (make_coco, add_wrong_image, {'missing-image'}, {'image-elsewhere', 'unused-image'},
     'elsewhere/x.png'),
    (make_coco, each_image('https://a.example/1{}?x=1'.format), {'missing-image', 'url-file-name'},
     None, 'download the images'),
    (make_coco, each_annotation(segmentation=[POLYGON, HOLE], area=700), {'mask-hole'}, set(),
     'polygon 2 lies in polygon 1'),
    (make_coco, each_annotation(segmentation=code), {'mask-broken'}, None,
     'the repr of Python bytes; write counts.decode()'),
    (make_coco, each_annotation(segmentation=[[]]), set(), set(), 'boxes of 2 classes'),
    (make_coco, each_annotation(segmentation=None, area=None, iscrowd=None), set(),
     {'null-field'}, 'iscrowd is null'),
    (make_coco, each_annotation(bbox=None), {'broken-box'}, None, 'None'),
    (make_coco, each_annotation(category_id=lambda a: float(a['category_id'])), set(), set(),
     '3 |   2'),
    (make_coco, other_ids, set(), set(), 'boxes and masks of 2 classes'),
    (make_coco, without_masks_in_val, set(), {'masks-differ'}, 'none in val'),
    (make_coco, unannotated_test, set(), {'test-unannotated'}, 'predict.py accepts its images'),
    (make_coco, add('train/IMG_1.HEIC', 'val/b.avif'), {'unread-format'}, set(), 'IMG_1.HEIC'),
    (make_coco, add('train/a.gif'), {'unread-format'}, set(), 'convert them to PNG'),
    (make_masks, grey_as('RGB'), set(), set(), '0 errors'),
    (make_masks, grey_as('RGBA'), set(), set(), '0 errors'),
    (make_masks, renamed('masks/*/*.png', lambda p: f'{p.stem}.PNG'), set(), set(), '0 errors'),
    (make_masks, renamed('*/*/*.*g', lambda p: f'{p.stem}.1.x{p.suffix}'), set(), set(),
     '0 errors'),
    (make_masks, renamed('masks/*/*.png', lambda p: f'{p.name}.png'),
     set(), set(), '0 errors'),
    (make_masks, renamed('masks/*/*.png', lambda p: f'{p.stem}_mask.png'), set(), set(),
     '0 errors'),
    (make_masks, many_classes, {'label-values', 'wrong-classes'}, None, 'allow 0 to 254'),
    (make_yolo, add('images/train/c.heif'), {'unread-format'}, set(), 'c.heif'),
]  # fmt: skip


@pytest.mark.parametrize('make, change, errors, warnings, said', FOLDERS)
def test_a_folder_ends_right_or_is_explained(
    make: Callable, change: Change, errors: set, warnings: set | None, said: str, tmp_path: Path
) -> None:
    root = make(tmp_path / 'data')
    change(root)
    report = check_data.check(str(root))
    assert {fault.kind for fault in report.faults.errors} == errors
    if warnings is not None:
        assert {fault.kind for fault in report.faults.warnings} == warnings
    assert said in check_data.text(report)


@pytest.mark.parametrize('brand', ['heic', 'avif'])
def test_a_picture_of_a_telephone_is_named(brand: str, tmp_path: Path) -> None:
    root = make_coco(tmp_path / 'data')
    (root / 'train/Bäume 0.png').write_bytes(b'\0\0\0\x1cftyp' + brand.encode() + bytes(40))
    report = check_data.check(str(root))
    assert {fault.kind for fault in report.faults.errors} == {'unsupported-format'}
    assert f'{brand}, perhaps from a phone' in check_data.text(report)


@pytest.mark.parametrize('name', ['test_project', 'my val data', 'testing'])
def test_the_name_of_the_whole_folder_is_no_split(name: str, tmp_path: Path) -> None:
    root = make_coco(tmp_path / name)
    json_file(root, 'val').unlink()
    json_file(root, 'train').rename(root / 'annotations.json')
    dataset = check_data.check(str(root)).dataset
    assert [*dataset.splits] == ['train'] and len(dataset.splits['train'].paths()) == 6


def cvat_yolo(root: Path) -> None:
    (root / 'obj.data').write_text('classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n')
    (root / 'obj.names').write_text('cat\ndög\n')
    for name in ('obj_train_data', 'obj_valid_data'):
        noise(root / name / '0.jpg')
        (root / name / '0.txt').write_text('0 0.5 0.5 0.2 0.2\n')


def texts(name: str, content: object, *more: str) -> Change:
    def do(root: Path) -> None:
        for i in range(2):
            noise(root / f'{i}.jpg')
            text = content if isinstance(content, str) else json.dumps(content)
            (root / name.format(i)).parent.mkdir(parents=True, exist_ok=True)
            (root / name.format(i)).write_text(text)

    return do


def both(*changes: Change) -> Change:
    return lambda root: [change(root) for change in changes]


def images_in(*folders: str) -> Change:
    return lambda root: [noise(root / folder / f'{i}.png') for folder in folders for i in (0, 1)]


def labelled(*folders: str) -> Change:
    """Images in the first folder, YOLO labels in the second, and names, as annotators export."""

    def do(root: Path) -> None:
        for i in range(2):
            noise(root / folders[0] / f'{i}.jpg')
            file = root / folders[-1] / f'{i}.txt'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f'{i} 0.5 0.5 0.2 0.2\n')
        (root / 'classes.txt').write_text('cat\ndög\n')

    return do


@pytest.mark.parametrize(
    'make, splits',
    (
        (cvat_yolo, {'train': 1, 'val': 1}),
        (labelled('images', 'labels'), {'train': 2}),
        (labelled('.'), {'train': 2}),
        (labelled('images/train', 'labels/train'), {'train': 2}),
    ),
)
def test_yolo_without_a_yaml_file_is_read(make: Change, splits: dict, tmp_path: Path) -> None:
    make(tmp_path)
    dataset = check_data.check(str(tmp_path)).dataset
    assert dataset.layout == 'yolo' and dataset.classes == ('cat', 'dög')
    found = dataset.splits.items()
    assert {name: len(split.records['annotations']) for name, split in found} == splits


@pytest.mark.parametrize(
    'given, called', (((), ('class 0', 'class 1')), (('cat', 'dog'), ('cat', 'dog')))
)
def test_yolo_without_names_is_read(given: tuple, called: tuple, tmp_path: Path) -> None:
    labelled('images', 'labels')(tmp_path)
    (tmp_path / 'classes.txt').unlink()
    report = check_data.check(str(tmp_path), classes=given)
    assert report.dataset.classes == called and not report.faults.errors
    assert [*report.classes.values()] == [{'train': 1}] * 2
    assert report.faults.count('unnamed-numbers') == (not given)


def test_names_of_yolo_labels_in_a_folder_inside_are_not_overlooked(tmp_path: Path) -> None:
    inside = tmp_path / 'images/pets'
    make_yolo(inside)
    assert check_data.check(str(inside)).dataset.classes == CLASSES
    with pytest.raises(UserError, match=f'{inside} inside it holds a dataset with names: give'):
        check_data.check(str(tmp_path))
    by_number = check_data.check(str(tmp_path), layout='yolo').dataset
    assert by_number.layout == 'yolo' and by_number.classes[0] == 'class 0'


def test_a_list_of_names_without_folders_is_enough(tmp_path: Path) -> None:
    labelled('images/train', 'labels/train')(tmp_path)
    (tmp_path / 'classes.txt').rename(tmp_path / 'data.yaml').write_text('names: [cat, dog]\n')
    assert check_data.check(str(tmp_path)).classes == {'cat': {'train': 1}, 'dog': {'train': 1}}


def test_another_number_of_classes_in_obj_data_is_shown(tmp_path: Path) -> None:
    cvat_yolo(tmp_path)
    (tmp_path / 'obj.data').write_text('classes = 1\ntrain = data/train.txt\nnames = obj.names\n')
    faults = check_data.check(str(tmp_path)).faults
    assert 'classes in obj.data is 1, but there are 2 names' in '\n'.join(faults.lines())


def test_numbers_in_lists_of_images_are_no_yolo_labels(tmp_path: Path) -> None:
    """As in the lists of Pascal VOC, beside a `classes.txt`."""
    root = make_voc(tmp_path)
    (root / 'classes.txt').write_text('\n'.join(CLASSES))
    (root / 'ImageSets/Main/train_val.txt').write_text('1 2 3 4 5 6\n')
    assert check_data.check(str(root)).dataset.layout == 'voc'


def test_images_and_label_maps_without_splits_are_a_training_split(tmp_path: Path) -> None:
    images_in('images', 'masks')(tmp_path)
    (tmp_path / 'classes.txt').write_text('background\ncat\n')
    report = check_data.check(str(tmp_path))
    assert {name: len(s.pairs) for name, s in report.dataset.splits.items()} == {'train': 2}
    assert '--val' in '\n'.join(report.faults.lines())


def masks_of_objects(root: Path) -> None:
    for number in range(2):
        noise(root / f'masks/0_car_{number}.png')


IMAGE = dict(image_id=0, width=96, height=64, file_name='0.jpg')
BOX = dict(bbox=[10, 10, 40, 30], area=1200, id=1)
REFUSED = [
    (texts('labels/{}.txt', '0 0.5 0.5 0.2 0.2\n'), r'no image belongs to one: put them into'),
    (texts('labelTxt/{}.txt', 'gsd:0.1\n1 1 2 1 2 2 1 2 plane 0\n'), r'It is DOTA'),
    (texts('train/labelTxt/{}.txt', '1 1 2 1 2 2 1 2 plane 0\n'), r'It is DOTA'),
    (both(images_in('training/image_2'),
          texts('training/label_2/{}.txt', 'Car 0.00 0 -1.58 1 2 3 4 1 1 1 1 1 1 1\n')),
     r'It is KITTI'),
    (both(images_in('a/img1'), texts('a/gt/gt.txt', '1,1,9,9,9,9,1,1,1')), r'It is MOT'),
    (both(images_in('images/training/street'), texts('index_ade20k.pkl', 'x')),
     r'It is the full ADE20K.*use ADEChallengeData2016'),
    (texts('images/a_atr.txt', '001 # 0 # 0 # car # car # ""'), r'It is the full ADE20K'),
    (both(images_in('JPEGImages'), texts('trainval_merged.json', [1])), r'Pascal Context'),
    (texts('train/metadata.jsonl', '{"file_name": "0.jpg"}'), r'image folder of Hugging Face'),
    (images_in('SegmentationClass'), r'copy them into JPEGImages'),
    (images_in('leftImg8bit/train/a'), r'no dataset that can be read'),
    (both(images_in('leftImg8bit/train/a'), texts('gtFine/train/a/{}_gtFine_polygons.json', {})),
     r'Cityscapes without label maps'),
    (texts('x/{}.json', dict(image=IMAGE, annotations=[BOX])), r'hold one image each, as in SA-1B'),
    (texts('{}.json', dict(image=IMAGE, annotations=[BOX])), r'merge them into one COCO file'),
    (texts('{}.json', dict(asset={}, regions=[])), r'VoTT'),
    (texts('ann/{}.json', dict(size={}, objects=[])), r'Supervisely'),
    (both(texts('meta.json', dict(classes=[], projectType='images')),
          texts('ds/ann/{}.json', dict(size={}, objects=[]))), r'Supervisely'),
    (texts('x/{}.txt', 'chair 494 111 562 239\n'), r"'chair 494 111 562 239' is no line of YOLO"),
    (both(images_in('photos'), masks_of_objects), r'masks/ has several masks for each image'),
    (texts('a.json', [dict(data={}, annotations=[dict(from_name='x')])]), r'Label Studio'),
    (texts('a.json', [dict(data=dict(image='/data/upload/1/a.jpg'),
                           annotations=[dict(result=[dict(from_name='label')])])]),
     r'Label Studio'),
    (texts('a.json', [dict(image='/data/a.jpg', label=[dict(x=1, rectanglelabels=['cat'])])]),
     r'Label Studio'),
    (texts('a.csv', 'annotation_id,annotator,image,label'), r'a table of Label Studio'),
    (lambda root: (root / 'a.txt').write_text('0 0.5 0.5 0.2 0.2'), r'YOLO labels, but no images'),
    (texts('a.csv', 'file,x,y'), r"a\.csv is a table with the columns 'file,x,y': call those of"),
    (texts('train-annotations-bbox.csv', 'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin\n'),
     r'Open Images'),
    (texts('a.ndjson', '{}'), r'NDJSON'),
    (texts('annotations/captions_train.json', dict(images=[IMAGE], annotations=[dict(caption='')])),
     r'captions of COCO'),
    (texts('annotations/a.json', dict(categories=dict(label=dict(labels=[])), items=[])),
     r"Datumaro's own"),
    (texts('a/{}.json', dict(annotation=dict(object=[dict(name_ndx=1)]))), r'the full ADE20K'),
    (images_in('training/image_2', 'training/semantic'), r'It is KITTI: name its folders'),
    (texts('wider_face_split/a.txt', 'x'), r'It is WIDER FACE'),
    (lambda root: noise(root / 'task-1-annotation-7-by-1-tag-cat-0.png'),
     r'brush masks from Label Studio, .*export the brush labels to COCO'),
    (texts('train/_annotations.txt', '0.jpg 1,2,30,40,0'), r'Roboflow for YOLO Keras'),
    (texts('train/_classes.csv', 'filename, cat\n0.png, 1\n'),
     r'which classes each image shows, but not where'),
    (images_in('train/good', 'test/cut', 'ground_truth/cut'), r'It is MVTec AD'),
    (images_in('train/cat', 'train/dog', 'val/cat', 'val/dog'),
     r'folders of the classes that they show \(cat, dog\)'),
    (images_in('images', 'masks/body', 'masks/wheel'),
     r'masks/ has a folder of masks for each class \(body, wheel\): draw them into one label map'),
    (images_in('images/train', 'masks/0', 'masks/1'), r'masks for each image \(0, 1\)'),
    (texts('a.json', dict(square=[1, 2])), r'JSON files of an unknown form'),
    (both(images_in('train', 'test'), texts('test/data.yaml', 'train: .\nnames: [cat]\n')),
     r'test holds a dataset that can be read, but train beside it does not'),
    (lambda root: (root / 'a.heic').write_text('x'), r'no images with the suffixes .*only \.heic'),
]  # fmt: skip


@pytest.mark.parametrize('make, said', REFUSED)
def test_what_cannot_be_read_says_what_it_is(make: Change, said: str, tmp_path: Path) -> None:
    root = tmp_path / 'data'
    root.mkdir()
    make(root)
    with pytest.raises(UserError, match=said):
        check_data.check(str(root))


def test_each_sign_says_what_to_do() -> None:
    assert all(':' in said for said in JSON_SIGNS.values())


@pytest.mark.parametrize('make', [make_coco, make_voc])
def test_what_can_be_read_is_not_mistaken(make: Callable, tmp_path: Path) -> None:
    assert not describe(make(tmp_path / 'data'))


def test_several_files_of_one_split_are_joined_not_left(tmp_path: Path) -> None:
    root = make_coco(tmp_path / 'data')
    shutil.copy(json_file(root, 'train'), root / 'annotations/train_2.json')
    faults = check_data.check(str(root)).faults
    assert {fault.kind for fault in faults.errors} == {'files-conflict'}
    assert 'train.json and' in faults.errors[0].examples[0] and faults.errors[0].count == 6


def test_notes_of_label_studio_beside_yolo_are_no_coco(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / 'yolo')
    notes = dict(categories=[dict(id=0, name='a')], info=dict(year=2024))
    (root / 'notes.json').write_text(json.dumps(notes))
    assert check_data.check(str(root)).dataset.layout == 'yolo'


def test_json_that_is_nested_deeply_is_one_sentence(tmp_path: Path) -> None:
    root = make_coco(tmp_path / 'data')
    json_file(root, 'train').write_text('{"images": ' + '[' * 200_000)
    report = check_data.check(str(root))
    assert 'nested too deeply' in check_data.text(report)


def test_a_pipe_named_like_a_json_does_not_hang(tmp_path: Path) -> None:
    root = make_coco(tmp_path / 'data')
    os.mkfifo(root / 'annotations/extra.json')
    assert not check_data.check(str(root)).faults.errors


@pytest.mark.parametrize(
    'fields', [dict(segmentation=[[]]), dict(segmentation=None, area=None, iscrowd=None)]
)
def test_boxes_without_masks_are_learnt_and_judged(fields: dict, tmp_path: Path) -> None:
    """With the config written for them, perfect predictions score 1."""
    from mmdet.registry import DATASETS, METRICS

    root, out = make_coco(tmp_path / 'data'), tmp_path / 'own.py'
    each_annotation(**fields)(root)
    dataset = check_data.check(str(root)).dataset
    out.write_text(new_config(dataset, base='faster_rcnn_cswin_t_coco', out=out))
    assert not check_data.check(str(out)).faults.errors
    cfg = Config.fromfile(out)
    made = DATASETS.build(dict(cfg.val_dataloader.dataset, pipeline=[]))
    metric = METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = made.metainfo
    for i in range(len(made)):
        info = made.get_data_info(i)
        metric.process({}, [sample_of(info, info['instances'])])
    assert metric.evaluate(len(made))['coco/bbox_mAP'] == 1
    assert made.metainfo['classes'] == CLASSES


def test_boxes_need_no_masks(tmp_path: Path) -> None:
    """Where some have one, only a base that learns masks minds."""
    from backbones.data.configs.new_config import wanted_by

    root, out = make_coco(tmp_path / 'data'), tmp_path / 'own.py'
    content = json.loads(json_file(root, 'train').read_text())
    content['annotations'][0]['segmentation'] = []
    json_file(root, 'train').write_text(json.dumps(content))
    wants = [
        wanted_by(base, out) for base in ('mask_rcnn_cswin_t_coco', 'faster_rcnn_cswin_t_coco')
    ]
    reports = [check_data.check(str(root), wants=one) for one in (None, *wants)]
    assert [report.faults.count('mask-missing') for report in reports] == [1, 1, 0]
    out.write_text(new_config(reports[2].dataset, base='faster_rcnn_cswin_t_coco', out=out))
    assert not check_data.check(str(out)).faults.errors


def test_masks_in_one_split_only_are_no_data_for_masks(tmp_path: Path) -> None:
    root = make_coco(tmp_path / 'data')
    without_masks_in_val(root)
    dataset = check_data.check(str(root)).dataset
    with pytest.raises(UserError, match=r'the annotations in the split val have only boxes'):
        new_config(dataset, base='mask_rcnn_cloformer_nano_digits', out=tmp_path / 'own.py')
