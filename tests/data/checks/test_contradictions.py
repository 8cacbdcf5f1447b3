"""Two files of a folder, or two parts of one file, that contradict each other."""

import base64
import io
import json
import re
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml
from own_data import (
    CLASSES,
    NUMBER,
    SIZE,
    json_file,
    make_coco,
    make_masks,
    make_voc,
    make_yolo,
    noise,
    write,
)
from PIL import ExifTags, Image, ImageOps

from backbones.cli import check_data
from backbones.data.layouts.label_values import read_labels
from backbones.errors import UserError


def errors(root: Path) -> set[str]:
    return {fault.kind for fault in check_data.check(str(root)).faults.errors}


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize('spelling', ['./{}', 'none/../{}', './/{}'])
def test_one_image_under_two_names_is_listed_twice(tmp_path: Path, spelling: str) -> None:
    """Otherwise the objects of each entry are background in the other."""
    content = json.loads(json_file(make_coco(tmp_path), 'train').read_text())
    (tmp_path / 'train/none').mkdir()
    first = content['images'][0]
    content['images'].append(dict(first, id=999, file_name=spelling.format(first['file_name'])))
    write(tmp_path, 'train', content)
    assert 'duplicate-file-name' in errors(tmp_path)


def test_large_images_that_begin_alike_are_different(tmp_path: Path) -> None:
    """The first 256 KiB are equal: uncompressed images with the same upper part."""
    make_coco(tmp_path)
    for split, number in NUMBER.items():
        content = json.loads(json_file(tmp_path, split).read_text())
        for i, entry in enumerate(content['images']):
            pixels = np.zeros((400, 400, 3), np.uint8)
            pixels[:8] = 20 * i + number  # a BMP begins with the lowest row
            (tmp_path / split / entry['file_name']).unlink()
            entry |= dict(file_name=f'{i}.bmp', width=400, height=400)
            Image.fromarray(pixels).save(tmp_path / split / f'{i}.bmp')
        write(tmp_path, split, content)
    assert not errors(tmp_path)
    shutil.copyfile(tmp_path / 'train/1.bmp', tmp_path / 'val/1.bmp')
    assert errors(tmp_path) == {'image-in-two-splits'}


@pytest.mark.parametrize(
    ('key', 'value'), [('names', ['tree', 'große Blume']), ('val', 'images/train')]
)
def test_yolo_with_two_yaml_files_that_differ(tmp_path: Path, key: str, value: object) -> None:
    content = yaml.safe_load((make_yolo(tmp_path) / 'data.yaml').read_text())
    (tmp_path / 'old.yaml').write_text(yaml.safe_dump(content))
    assert not errors(tmp_path)
    (tmp_path / 'old.yaml').write_text(yaml.safe_dump({**content, key: value}))
    assert errors(tmp_path) == {'wrong-yaml'}


def test_yolo_with_val_and_valid(tmp_path: Path) -> None:
    make_yolo(tmp_path)
    change(tmp_path / 'data.yaml', 'val: images/val', 'val: images/val\nvalid: images/train')
    assert errors(tmp_path) == {'wrong-yaml'}


@pytest.mark.parametrize(
    ('settings', 'values'),
    [
        ('kpt_shape: [3, 3]', '.4 .4 .5 .5 .3 .4 .35 .45 .4 .5'),
        ('', '.1 .1 .6 .1 .6 .6 .1'),  # a coordinate is missing somewhere
    ],
)
def test_yolo_lines_of_another_length_are_no_polygons(
    tmp_path: Path, settings: str, values: str
) -> None:
    """3 keypoints of 3 values are declared, but there are 3 of 2 values."""
    make_yolo(tmp_path)
    change(tmp_path / 'data.yaml', 'nc: 2', f'nc: 2\n{settings}')
    (tmp_path / 'labels/train/0.txt').write_text(f'0 {values}\n')
    assert errors(tmp_path) == {'broken-shape'}


def test_voc_box_and_polygon_in_different_places(tmp_path: Path) -> None:
    points = [50, 40, 60, 40, 60, 46]
    text = ''.join(f'<{"xy"[i % 2]}{i // 2 + 1}>{v}</{"xy"[i % 2]}{i // 2 + 1}>'
                   for i, v in enumerate(points))  # fmt: skip
    for file in make_voc(tmp_path).glob('Annotations/*.xml'):
        change(file, '</bndbox>', f'</bndbox><polygon>{text}</polygon>')
    assert errors(tmp_path) == {'box-beside-mask'}


def test_labelme_file_of_one_image_that_names_another(tmp_path: Path) -> None:
    """Like the output of a program that copies a file for a flipped image."""
    for name in ('0.png', '0_flip.png'):
        noise(tmp_path / name)
    shape = dict(label='a', points=[[1, 1], [30, 30]], shape_type='rectangle')
    content = dict(shapes=[shape], imagePath='0.png', imageWidth=64, imageHeight=48)
    (tmp_path / '0_flip.json').write_text(json.dumps(content))
    assert 'ambiguous-image' in errors(tmp_path)
    (tmp_path / '0_flip.png').unlink()
    assert 'ambiguous-image' not in errors(tmp_path)


def picture(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Coloured blobs, which JPEG preserves."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size)


def in_text(image: Image.Image, kind: str = 'JPEG') -> str:
    file = io.BytesIO()
    image.save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ('embedded', 'said'),
    [
        (in_text(picture(0)), ''),
        (in_text(picture(0).point(lambda v: v // 2 + 60), 'PNG'), ''),  # other contrast
        (in_text(picture(1)), r'a\.json: the embedded image shows something else than a\.png'),
        (in_text(picture(0, (32, 24))), r'a\.json: the embedded image is 32x24, a\.png 64x48'),
        (in_text(picture(0))[:60], r'a\.json: the embedded image cannot be read'),
        ('?', r'a\.json: the embedded image cannot be read'),
    ],
)
def test_labelme_file_with_another_image_in_it(tmp_path: Path, embedded: str, said: str) -> None:
    """labelme shows the embedded image, on which the shapes were drawn."""
    picture(0).save(tmp_path / 'a.png')
    shape = dict(label='a', points=[[1, 1], [30, 30]], shape_type='rectangle')
    content = dict(shapes=[shape], imagePath='a.png', imageData=embedded)
    (tmp_path / 'a.json').write_text(json.dumps(content))
    report = check_data.check(str(tmp_path))
    examples = [f.examples[0] for f in report.faults.errors if f.kind == 'embedded-image']
    assert len(examples) == bool(said) and all(re.match(said, text) for text in examples)


def test_labelme_embeds_photographs_as_they_are_shown(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture(0).save(tmp_path / 'a.jpg', exif=exif)
    shape = dict(label='a', points=[[1, 1], [30, 30]], shape_type='rectangle')
    for shown, kinds in ((ImageOps.exif_transpose(Image.open(tmp_path / 'a.jpg')), set()),
                         (picture(0), {'embedded-image'})):  # fmt: skip
        content = dict(shapes=[shape], imagePath='a.jpg', imageData=in_text(shown))
        (tmp_path / 'a.json').write_text(json.dumps(content))
        assert errors(tmp_path) == kinds


@pytest.mark.parametrize('degrees', ['x', 'nan', 'inf'])
def test_cvat_box_turned_by_no_number(tmp_path: Path, degrees: str) -> None:
    noise(tmp_path / 'images/0.png')
    box = f'<box label="a" xtl="1" ytl="1" xbr="30" ybr="30" rotation="{degrees}"/>'
    image = f'<image id="0" name="0.png" width="64" height="48">{box}</image>'
    (tmp_path / 'annotations.xml').write_text(f'<annotations>{image}</annotations>')
    assert 'broken-shape' in errors(tmp_path)


@pytest.mark.parametrize('moved', [('images', 'masks'), ('masks',)])
def test_a_split_in_two_folders(tmp_path: Path, moved: tuple[str, ...]) -> None:
    """There are val and valid, or two folders of label maps."""
    make_masks(tmp_path)
    for folder in moved:
        where = f'{folder}/valid' if len(moved) > 1 else 'labels/val'
        shutil.copytree(tmp_path / folder / 'val', tmp_path / where)
    assert errors(tmp_path) == {'several-folders'}


def test_a_list_that_names_images_which_are_not_there(tmp_path: Path) -> None:
    for i in range(6):
        noise(tmp_path / f'images/{i}.png')
        (tmp_path / 'masks').mkdir(exist_ok=True)
        Image.fromarray(np.full((48, 64), i % 2, np.uint8)).save(tmp_path / f'masks/{i}.png')
    (tmp_path / 'classes.txt').write_text('a\nb\n')
    (tmp_path / 'val.txt').write_text('4\n5\n')
    assert not errors(tmp_path)
    (tmp_path / 'val.txt').write_text('4\n5\n6\n')
    assert errors(tmp_path) == {'missing-image'}


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('class_names.txt', 'background\ntree\nflower\n'),
        ('masks/classes.txt', 'background\ntree\nflower\n'),
        ('labelmap.txt', 'background:0,0,0::\ntree:1,1,1::\nflower:2,2,2::\n'),
        ('labelmap.txt', 'background:0,0,0::\ntree:9,8,7::\nflower:6,5,4::\n'),  # maps have 0, 1, 2
        ('class_dict.csv', 'name,r,g,b\nbackground,0,0,0\ntree,1,1,1\nflower,2,2,2\n'),
    ],
)
def test_files_of_class_names_that_differ(tmp_path: Path, name: str, text: str) -> None:
    make_masks(tmp_path)
    (tmp_path / name).write_text(text)
    assert errors(tmp_path) == {'names-conflict'}
    (tmp_path / 'classes.txt').write_text('background\ntree\nflower\n')
    assert not errors(tmp_path)


def test_values_of_class_names_that_differ_between_splits(tmp_path: Path) -> None:
    """As in Roboflow's semantic masks, whose splits each have a table."""
    make_masks(tmp_path)
    (tmp_path / 'classes.txt').unlink()
    for split in NUMBER:
        for folder, end in (('images', ''), ('masks', '_mask')):
            for path in (tmp_path / folder / split).iterdir():
                (tmp_path / split).mkdir(exist_ok=True)
                path.rename(tmp_path / split / f'{path.stem}{end}{path.suffix}')
    table = 'Pixel Value, Class\n0, background\n1, {}\n2, {}\n'
    for split in NUMBER:
        (tmp_path / split / '_classes.csv').write_text(table.format('flower', 'tree'))
    assert not errors(tmp_path)
    (tmp_path / 'val/_classes.csv').write_text(table.format('tree', 'flower'))
    assert errors(tmp_path) == {'names-conflict'}


def test_label_maps_with_a_palette_beside_ones_with_equal_channels(tmp_path: Path) -> None:
    """In both files the number counts, whatever grey the palette shows for it."""
    make_masks(tmp_path)
    for path in tmp_path.glob('masks/val/*'):
        Image.open(path).convert('RGB').save(path)
    for path in tmp_path.glob('masks/train/*'):
        image = Image.open(path)
        image.putpalette([0, 0, 0, 2, 2, 2, 1, 1, 1])
        image.save(path)
    report = check_data.check(str(tmp_path))
    assert not report.faults.errors
    for path in tmp_path.glob('masks/*/*'):
        labels = read_labels(path, report.dataset)
        assert labels is not None
        assert labels.max() == 1 + int(path.stem) % 2


def test_label_maps_whose_palettes_differ(tmp_path: Path) -> None:
    """Pillow and GIMP choose a palette by a file's own colours: 1 is red here and blue there."""
    make_masks(tmp_path)
    red, blue = (255, 0, 0), (0, 0, 255)
    for path in tmp_path.glob('masks/*/*'):
        image = Image.open(path)
        image.putpalette([0, 0, 0, *red, *blue])
        image.save(path)
    assert not errors(tmp_path)
    colours = Image.open(path := tmp_path / 'masks/val/1.png').convert('RGB')
    image = Image.open(path).point([0, 2, 1] + 253 * [0])
    image.putpalette([0, 0, 0, *blue, *red])
    image.save(path)
    assert (np.asarray(image.convert('RGB')) == np.asarray(colours)).all()
    assert errors(tmp_path) == {'palettes-differ'}
    # the remedy: the colours tell the classes
    (tmp_path / 'labelmap.txt').write_text('background:0,0,0\nflower:255,0,0\ntree:0,0,255\n')
    (tmp_path / 'classes.txt').unlink()
    report = check_data.check(str(tmp_path))
    assert not report.faults.errors
    for path in tmp_path.glob('masks/*/*'):
        labels = read_labels(path, report.dataset)
        assert labels is not None and labels.max() == 1 + int(path.stem) % 2


@pytest.mark.parametrize('settings', ['names: [a, b]\nnames: [b, a]', 'names: {0: a, 1: b, 1: c}'])
def test_yaml_with_a_key_twice(tmp_path: Path, settings: str) -> None:
    make_yolo(tmp_path)
    (tmp_path / 'data.yaml').write_text(f'train: images/train\nval: images/val\n{settings}\n')
    with pytest.raises(UserError, match=r"data.yaml cannot be read: it has '(names|1)' twice"):
        check_data.check(str(tmp_path))


def test_coco_with_a_list_twice(tmp_path: Path) -> None:
    """JSON silently keeps the last one."""
    file = json_file(make_coco(tmp_path), 'train')
    categories = [dict(id=3, name='tree'), dict(id=7, name='große Blume')]
    file.write_text(f'{file.read_text()[:-1]}, "categories": {json.dumps(categories)}}}')
    assert errors(tmp_path) == {'wrong-structure'}


@pytest.mark.parametrize(
    'more',
    [
        '<name>tree</name>',
        '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>',
    ],
)
def test_voc_object_with_two_names_or_boxes(tmp_path: Path, more: str) -> None:
    change(make_voc(tmp_path) / 'Annotations/train_0.xml', '</object>', f'{more}</object>')
    assert errors(tmp_path) == {'wrong-structure'}


@pytest.mark.parametrize('first', [0, -5, -(2**62), 2**62, 10**30])
def test_ids_of_annotations_that_a_metric_does_not_hold_are_counted_anew(
    tmp_path: Path, first: int
) -> None:
    """With ids below 1, perfect predictions score 0 with FasterCocoMetric, 0.6 with the other."""
    content = json.loads(json_file(make_coco(tmp_path), 'val').read_text())
    for i, one in enumerate(content['annotations']):
        one['id'] = first + i
    write(tmp_path, 'val', content)
    report = check_data.check(str(tmp_path))
    assert not report.faults.errors
    split = report.dataset.splits['val']
    assert split.own_file and [one['id'] for one in split.records['annotations']] == [1, 2, 3]


def voc_instance(root: Path, label: int, instance: int) -> Path:
    """One image with a class map and a map of instances, each of one square."""
    noise(root / 'JPEGImages/0.jpg')
    for folder, value in (('SegmentationClass', label), ('SegmentationObject', instance)):
        pixels = np.zeros((48, 64), np.uint8)
        pixels[8:32, 8:40] = value
        (root / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(root / folder / '0.png')
    (root / 'classes.txt').write_text('background\nflower\n')
    return root


@pytest.mark.parametrize(
    ('label', 'instance', 'kind'),
    [(1, 7, ''), (0, 7, 'broken-shape'), (1, 0, 'broken-shape'), (2, 7, 'unknown-class')],
)
def test_maps_of_classes_and_of_instances_that_differ(
    tmp_path: Path, label: int, instance: int, kind: str
) -> None:
    """An instance on the background, and a class without an instance, used to be left out."""
    report = check_data.check(str(voc_instance(tmp_path, label, instance)), layout='voc-objects')
    found = {fault.kind for fault in report.faults.errors} - {'no-annotations'}
    assert found == ({kind} if kind else set())


def test_an_instance_in_a_colour_that_no_name_has(tmp_path: Path) -> None:
    root = voc_instance(tmp_path, 9, 7)
    (root / 'classes.txt').unlink()
    (root / 'labelmap.txt').write_text('background:0,0,0::\nflower:8,8,8::\n')
    report = check_data.check(str(root), layout='voc-objects')
    assert 'unknown-class' in {fault.kind for fault in report.faults.errors}


@pytest.mark.parametrize(
    ('facts', 'classes', 'kinds'),
    [
        ('classes = 2\nnames = data/obj.names', ('a', 'b'), set()),
        ('classes = 3\nnames = data/obj.names', ('a', 'b'), {'class-count'}),
        ('classes = 2\nnames = data\\other.names', ('b', 'a'), set()),
    ],
)
def test_darknet_says_which_names_count_and_how_many(
    tmp_path: Path, facts: str, classes: tuple[str, ...], kinds: set[str]
) -> None:
    for i in range(4):
        noise(tmp_path / f'obj_train_data/{i}.png')
        (tmp_path / f'obj_train_data/{i}.txt').write_text('0 .5 .5 .5 .5\n')
    names = ''.join(f'data/obj_train_data/{i}.png\n' for i in range(4))
    for file, text in (('obj.names', 'a\nb'), ('other.names', 'b\na'), ('train.txt', names),
                       ('obj.data', f'train = data/train.txt\n{facts}')):  # fmt: skip
        (tmp_path / file).write_text(text)
    report = check_data.check(str(tmp_path))
    assert report.dataset.classes == classes
    assert {fault.kind for fault in report.faults.errors} == kinds


def test_darknet_without_a_single_object_says_so(tmp_path: Path) -> None:
    for file in ('obj_train_data/0.txt', 'obj.names'):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text('a\nb' if file == 'obj.names' else '')
    noise(tmp_path / 'obj_train_data/0.png')
    report = check_data.check(str(tmp_path))
    assert report.dataset.classes == ('a', 'b')
    assert report.faults.count('no-annotations') == 1


def test_roboflow_makes_up_a_parent_that_is_called_like_the_only_class(tmp_path: Path) -> None:
    """Roboflow names it after the project."""
    root = make_coco(tmp_path)
    for split in ('train', 'val'):
        content = json.loads(json_file(root, split).read_text())
        content['categories'] = [dict(id=0, name='cat', supercategory='none'),
                                 dict(id=1, name='cat', supercategory='cat')]  # fmt: skip
        for annotation in content['annotations']:
            annotation['category_id'] = 1
        write(root, split, content)
    report = check_data.check(str(root))
    assert report.dataset.classes == ('cat',)
    assert not report.faults.errors and report.faults.count('root-category') == 2


def test_a_document_beside_the_folder_of_images_is_no_image(tmp_path: Path) -> None:
    root = make_voc(tmp_path)
    (root / 'report.pdf').write_text('x')
    assert not check_data.check(str(root)).faults.count('unread-format')
    (root / 'JPEGImages/scan.pdf').write_text('x')
    assert check_data.check(str(root)).faults.count('unread-format') == 1


def test_a_split_in_grey_beside_one_in_colours(tmp_path: Path) -> None:
    """As if the label maps of a split were in the place of its images."""
    root = make_coco(tmp_path)
    for number, path in enumerate(sorted((root / 'val').iterdir())):
        warnings = {fault.kind for fault in check_data.check(str(root)).faults.warnings}
        assert 'grey-split' not in warnings, number
        Image.open(path).convert('L').save(path)
    warnings = {fault.kind for fault in check_data.check(str(root)).faults.warnings}
    assert 'grey-split' in warnings


def test_training_images_in_a_folder_called_val(tmp_path: Path) -> None:
    content = yaml.safe_load((make_yolo(tmp_path) / 'data.yaml').read_text())
    for train, val, kinds in (('train', 'val', set()), ('val', 'train', {'other-split'})):
        exchanged = dict(content, train=f'images/{train}', val=f'images/{val}')
        (tmp_path / 'data.yaml').write_text(yaml.safe_dump(exchanged))
        report = check_data.check(str(tmp_path))
        assert {fault.kind for fault in report.faults.warnings} == kinds
        assert not report.faults.errors


@pytest.mark.parametrize(
    ('text', 'classes', 'values'),
    [
        ('0 background\n1 flower\n2 tree', ('background', 'flower', 'tree'), None),
        ('2: tree\n0: background\n1: flower', ('background', 'flower', 'tree'), None),
        ('background = 0\nflower = 2\ntree = 1', ('background', 'tree', 'flower'), None),
        ('0\tbackground\n2\ttree\n1000\tsky', ('background', 'tree', 'sky'), (0, 2, 1000)),
        ('class 0\nclass 2\nclass 1', ('class 0', 'class 2', 'class 1'), None),
        ('1 cent\n2 cent\n1 euro', ('1 cent', '2 cent', '1 euro'), None),
        ('0\n2\n1', ('0', '2', '1'), None),
    ],
)
def test_numbers_beside_the_names_of_a_list(
    tmp_path: Path, text: str, classes: tuple, values: tuple | None
) -> None:
    """The number counts, not the line."""
    (make_masks(tmp_path) / 'classes.txt').write_text(text)
    dataset = check_data.check(str(tmp_path)).dataset
    assert dataset.classes == classes
    assert (dataset.mapping.values if dataset.mapping else None) == values


@pytest.mark.parametrize(
    'text', ['1: tree\n0: große Blume', 'große Blume\ntree', '0 große Blume\n1 tree']
)
def test_numbers_beside_the_names_of_yolo(tmp_path: Path, text: str) -> None:
    (make_yolo(tmp_path) / 'data.yaml').unlink()
    (tmp_path / 'classes.txt').write_text(text)
    report = check_data.check(str(tmp_path))
    assert report.dataset.classes == ('große Blume', 'tree') and not report.faults.errors
    (tmp_path / 'classes.txt').write_text('1: große Blume\n2: tree')
    assert 'class-count' in errors(tmp_path)


@pytest.mark.parametrize('twin', ['tree\u200b', '\uff54ree', 'T ree'])
def test_class_names_that_look_alike(tmp_path: Path, twin: str) -> None:
    make_yolo(tmp_path)
    content = yaml.safe_load((tmp_path / 'data.yaml').read_text())
    (tmp_path / 'data.yaml').write_text(yaml.safe_dump({**content, 'names': ['tree', twin]}))
    warnings = {fault.kind for fault in check_data.check(str(tmp_path)).faults.warnings}
    assert 'similar-classes' in warnings


@pytest.mark.parametrize('layout', ['coco', 'voc'])
def test_boxes_with_an_angle_beside_them(tmp_path: Path, layout: str) -> None:
    """CVAT writes the box as it was before its rotation."""
    (make_coco if layout == 'coco' else make_voc)(tmp_path)
    for degrees, kinds in ((0, set()), (179.4, set()), (90, {'rotated-box'})):
        if layout == 'coco':
            content = json.loads(json_file(tmp_path, 'train').read_text())
            for annotation in content['annotations']:
                annotation.pop('segmentation', None)
                annotation['attributes'] = dict(occluded=False, rotation=degrees)
            write(tmp_path, 'train', content)
        else:
            for file in (tmp_path / 'Annotations').iterdir():
                angle = f'<attribute><name>rotation</name><value>{degrees}</value></attribute>'
                text = re.sub('<attributes>.*?</attributes>', '', file.read_text())
                end = f'<attributes>{angle}</attributes></object>'
                file.write_text(text.replace('</object>', end))
        assert {kind for kind in errors(tmp_path) if kind != 'mask-missing'} == kinds
    upright = check_data.check(str(tmp_path), enclosing_boxes=True)
    assert 'rotated-box' not in {fault.kind for fault in upright.faults.errors}
    split = upright.dataset.splits['train']
    assert split.own_file
    x, y, width, height = split.records['annotations'][0]['bbox']
    assert min(x, y) >= 0 and x + width <= SIZE[0] and y + height <= SIZE[1]
    before = check_data.check(str(tmp_path)).dataset.splits['train'].records['annotations'][0]
    x1, y1, w1, h1 = before['bbox']
    assert [max(x1, 0), max(y1, 0)] == [x, y] and w1 >= width and h1 >= height
    assert len(before['segmentation'])
    assert 'segmentation' not in split.records['annotations'][0]


def test_a_turned_box_beside_masks_is_enclosed_and_keeps_its_outline(tmp_path: Path) -> None:
    file = json_file(make_coco(tmp_path), 'train')
    content = json.loads(file.read_text())
    content['annotations'][0] |= dict(
        bbox=[20, 10, 20, 10], segmentation=[], attributes=dict(rotation=90)
    )
    write(tmp_path, 'train', content)
    report = check_data.check(str(tmp_path), enclosing_boxes=True)
    assert not report.faults.errors
    turned = report.dataset.splits['train'].records['annotations'][0]
    assert turned['bbox'] == pytest.approx([25, 5, 10, 20])
    assert turned['segmentation'] == [pytest.approx([35, 5, 35, 25, 25, 25, 25, 5])]


def test_rotated_boxes_of_labelme_files(tmp_path: Path) -> None:
    """X-AnyLabeling draws them; as outlines of masks they would go unnoticed."""
    for i, split in enumerate(['train', 'train', 'val']):
        noise(tmp_path / f'{split}/{i}.jpg')
        shape = dict(
            label='tree', shape_type='rotation', points=[[20, 6], [40, 16], [34, 28], [14, 18]]
        )
        content = dict(
            shapes=[shape], imagePath=f'{i}.jpg', imageWidth=SIZE[0], imageHeight=SIZE[1]
        )
        (tmp_path / f'{split}/{i}.json').write_text(json.dumps(content))
    assert errors(tmp_path) == {'rotated-box'}
    report = check_data.check(str(tmp_path), enclosing_boxes=True)
    assert not report.faults.errors
    (box,) = {str(a['bbox']) for a in report.dataset.splits['train'].records['annotations']}
    assert box == '[14.0, 6.0, 26.0, 22.0]' and not report.dataset.has_masks()
    change(tmp_path / 'train/0.json', '[40, 16]', f'[{SIZE[0] + 9}, 16]')
    report = check_data.check(str(tmp_path), enclosing_boxes=True)
    assert not report.faults.errors, 'the box ends with the image'
    assert report.dataset.splits['train'].records['annotations'][0]['bbox'] == [14, 6, 50, 22]


@pytest.mark.parametrize('stored', [str.upper, lambda name: unicodedata.normalize('NFD', name)])
def test_names_of_images_that_another_system_spells_otherwise(tmp_path: Path, stored) -> None:
    """Windows ignores their case, and macOS composes accents in its own way."""
    file = json_file(make_coco(tmp_path), 'train')
    content = json.loads(file.read_text())
    for entry in content['images']:
        path = tmp_path / 'train' / entry['file_name']
        entry['file_name'] = f'größe_{path.name}'
        path.rename(path.with_name(stored(entry['file_name'])))
    write(tmp_path, 'train', content)
    report = check_data.check(str(tmp_path))
    assert not report.faults.errors
    split = report.dataset.splits['train']
    assert split.own_file and all(path.is_file() for path in split.paths())


def make_voc_masks(root: Path) -> Path:
    make_masks(root)
    (root / 'images/train').rename(root / 'JPEGImages')
    (root / 'masks/train').rename(root / 'SegmentationClass')
    shutil.rmtree(root / 'images')
    shutil.rmtree(root / 'masks')
    return root


def make_yolo_without_yaml(root: Path) -> Path:
    make_yolo(root)
    (root / 'data.yaml').unlink()
    (root / 'classes.txt').write_text('\n'.join(CLASSES), encoding='utf-8')
    return root


MAKERS = [make_yolo, make_yolo_without_yaml, make_voc, make_masks, make_voc_masks]


@pytest.mark.parametrize('make', MAKERS)
@pytest.mark.parametrize('stored', [str.upper, lambda name: unicodedata.normalize('NFD', name)])
def test_label_files_that_another_system_spells_otherwise(make, stored, tmp_path: Path) -> None:
    for file in [*make(tmp_path).glob('*/**/*.*')]:
        if file.name in ('train.txt', 'val.txt'):
            lines = file.read_text().splitlines()
            file.write_text('\n'.join(f'größe_{line}' for line in lines))
            continue
        name = f'größe_{file.stem}'
        image = file.suffix == '.jpg'
        file.rename(file.with_name(f'{stored(name) if image else name}{file.suffix}'))
    report = check_data.check(str(tmp_path))
    assert {fault.kind for fault in report.faults.errors} == set()
    assert 'image-elsewhere' in {fault.kind for fault in report.faults.warnings}
    train = report.dataset.splits['train']
    assert len(train.pairs or train.records['annotations']) == NUMBER['train']


def test_a_label_file_stays_with_the_image_of_its_own_name(tmp_path: Path) -> None:
    make_yolo(tmp_path)
    noise(tmp_path / 'images/train/A.jpg')
    for name in ('images/train/a.jpg', 'labels/train/a.txt'):
        path = tmp_path / name
        path.with_stem('0').rename(path)
    report = check_data.check(str(tmp_path))
    assert not report.faults.errors and not report.faults.count('image-elsewhere')


@pytest.mark.parametrize('number', [8, 100])  # more than there can be classes without names
def test_label_maps_of_instances(number: int, tmp_path: Path) -> None:
    """Each object would be a separate class, and another one in the next image."""
    make_masks(tmp_path)
    (tmp_path / 'classes.txt').unlink()
    for i, path in enumerate(sorted(tmp_path.glob('masks/*/*'))):
        labels = np.zeros(SIZE[::-1], np.uint8)
        labels[2:-2] = np.arange(labels[2:-2].size).reshape(-1, SIZE[0]) // 4 % (number + i)
        Image.fromarray(labels).save(path)
    assert 'label-instances' in errors(tmp_path)
    assert check_data.check(str(tmp_path), layout='instance-maps').classes['object']['train'] > 20
    (tmp_path / 'classes.txt').write_text('background\n' + '\n'.join('abcdefghijklmnop'))
    assert 'label-instances' not in errors(tmp_path)
