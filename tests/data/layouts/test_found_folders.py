"""Folders as they are found in public repositories: read as their authors mean them, or named."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from own_data import CLASSES, json_file, make_coco, make_voc, make_yolo, noise
from PIL import Image

from backbones.cli import check_data
from backbones.data.check_dataset import Report
from backbones.errors import UserError

BOX = '<bndbox><xmin>3</xmin><ymin>3</ymin><xmax>30</xmax><ymax>30</ymax></bndbox>'
TURNED = '<robndbox><cx>20</cx><cy>20</cy><w>20</w><h>10</h><angle>1.5707963</angle></robndbox>'


def label_map(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.eye(48, 64, dtype=np.uint8)).save(path)


def pairs(report: Report) -> list[tuple[str, str]]:
    split = report.dataset.splits['train']
    return [(image.name, label.name) for image, label in split.pairs]


def test_of_several_folders_of_label_maps_none_is_chosen_silently(tmp_path: Path) -> None:
    for i in range(3):
        noise(tmp_path / f'photos/{i}.jpg')
        for folder in ('masks_crown', 'masks_root'):
            label_map(tmp_path / f'{folder}/{i}.png')
    report = check_data.check(str(tmp_path))
    assert {fault.kind for fault in report.faults.errors} == {'several-folders'}
    assert 'photos with masks_root' in check_data.text(report)


def test_what_all_label_maps_add_may_occur_in_an_image_as_well(tmp_path: Path) -> None:
    names = 'crown_2', *(f'lesion_{i}' for i in range(5))
    for name in names:
        noise(tmp_path / f'photos/{name}.jpg')
        label_map(tmp_path / f'masks_crown/{name}_crown.png')
    report = check_data.check(str(tmp_path))
    assert len(pairs(report)) == 6 and not report.faults.errors


def test_label_maps_may_keep_the_end_of_their_images(tmp_path: Path) -> None:
    """As in a selection of IDD, where both are called NAME_leftImg8bit.png."""
    for i in range(3):
        noise(tmp_path / f'train/{i}_leftImg8bit.png')
        label_map(tmp_path / f'train_labels/{i}_leftImg8bit.png')
    report = check_data.check(str(tmp_path))
    assert pairs(report) == [(f'{i}_leftImg8bit.png',) * 2 for i in range(3)]
    assert not report.faults.errors


def test_label_maps_of_another_folder_may_end_in_any_way(tmp_path: Path) -> None:
    """As MMSegmentation's folders img_dir and ann_dir of GID have it."""
    for i in range(8, 12):
        noise(tmp_path / f'img_dir/train/{i}.png')
        label_map(tmp_path / f'ann_dir/train/{i}_15label.png')
    assert len(pairs(check_data.check(str(tmp_path)))) == 4
    for i in range(8, 12):
        label_map(tmp_path / f'ann_dir/train/{i}_colours.png')
    with pytest.raises(UserError, match='no dataset that can be read'):
        check_data.check(str(tmp_path))


def test_numbers_that_are_written_as_text_are_numbers(tmp_path: Path) -> None:
    """As Roboflow writes the sides of boxes; ids may be text, too."""
    root = make_coco(tmp_path / 'data')
    before = check_data.check(str(root))
    for split in ('train', 'val'):
        content = json.loads(json_file(root, split).read_text())
        for entry in content['annotations']:
            entry['bbox'][2:] = map(str, entry['bbox'][2:])
            entry['image_id'] = str(entry['image_id'])
        json_file(root, split).write_text(json.dumps(content))
    after = check_data.check(str(root))
    assert not after.faults.errors and after.faults.count('text-numbers') == 2
    assert after.classes == before.classes
    boxes = ([a['bbox'] for a in r.dataset.splits['train'].records['annotations']]
             for r in (before, after))  # fmt: skip
    np.testing.assert_allclose(*boxes)


def test_a_table_may_begin_with_blank_lines(tmp_path: Path) -> None:
    noise(tmp_path / '0.jpg')
    (tmp_path / 'train.csv').write_text('\n\n0.jpg,3,3,30,30,cat\n')
    assert check_data.check(str(tmp_path)).classes == {'cat': {'train': 1}}


@pytest.mark.parametrize('given', [(), ('cat',)])
def test_equal_attributes_of_the_vgg_annotator_are_one(given: tuple, tmp_path: Path) -> None:
    noise(tmp_path / '0.jpg')
    place = dict(name='rect', x=3, y=3, width=30, height=30)
    regions = [dict(shape_attributes=place, region_attributes=said)
               for said in (dict(a='cat', b='cat'), {})]  # fmt: skip
    (tmp_path / 'via.json').write_text(json.dumps({'0': dict(filename='0.jpg', regions=regions)}))
    report = check_data.check(str(tmp_path), classes=given)
    assert {fault.kind for fault in report.faults.errors} == (set() if given else {'unnamed-class'})
    assert report.classes == {'cat': {'train': 1 + len(given)}}


def test_an_image_that_no_list_names_is_unused_and_not_missing(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / 'yolo')
    images = sorted((root / 'images/train').iterdir())
    (root / 'train.txt').write_text('\n'.join(map(str, images[1:])))
    settings = (root / 'data.yaml').read_text()
    (root / 'data.yaml').write_text(settings.replace('train: images/train', 'train: train.txt'))
    faults = check_data.check(str(root)).faults
    assert not faults.errors and faults.count('unused-image') == 1


def test_names_lie_in_any_file_of_names(tmp_path: Path) -> None:
    for folder, content in (('images', None), ('labels', '1 0.5 0.5 0.2 0.2')):
        (tmp_path / folder).mkdir()
        if content:
            (tmp_path / folder / '0.txt').write_text(content)
    noise(tmp_path / 'images/0.jpg')
    (tmp_path / 'classes.names').write_text('cat\ndog\n')
    assert check_data.check(str(tmp_path)).classes == {'cat': {'train': 0}, 'dog': {'train': 1}}


def test_turned_boxes_of_rolabelimg_are_turned(tmp_path: Path) -> None:
    root = make_voc(tmp_path / 'voc')
    file = root / 'Annotations/train_0.xml'
    shutil.copy(file, tmp_path / 'kept.xml')
    file.write_text(f'<annotation><filename>train_0.jpg</filename><object><name>{CLASSES[0]}</name>'
                    f'{TURNED}</object></annotation>', encoding='utf-8')  # fmt: skip
    report = check_data.check(str(root))
    assert {fault.kind for fault in report.faults.errors} == {'rotated-box'}
    records = check_data.check(str(root), enclosing_boxes=True).dataset.splits['train'].records
    np.testing.assert_allclose(records['annotations'][0]['bbox'], [15, 10, 10, 20], atol=1e-3)


def test_an_image_of_another_suffix_is_found(tmp_path: Path) -> None:
    """As after a conversion of the images, in a folder of their own, but not among masks."""
    root = make_coco(tmp_path / 'data')
    shutil.rmtree(root / 'val')
    json_file(root, 'val').unlink()
    for path in sorted((root / 'train').iterdir()):
        with Image.open(path) as image:
            (tmp_path / 'data/photos').mkdir(exist_ok=True)
            image.convert('RGB').save(root / 'photos' / f'{path.stem}.bmp')
        label_map(root / 'masks' / f'{path.stem}.tif')
        path.unlink()
    report = check_data.check(str(root))
    assert not report.faults.errors and report.faults.count('image-elsewhere')


def test_what_a_coco_file_lacks_is_filled_in(tmp_path: Path) -> None:
    """Areas, sizes of images, and the start that MMDetection expects."""
    root = make_coco(tmp_path / 'data')
    for split in ('train', 'val'):
        content = json.loads(json_file(root, split).read_text())
        for entry in content['annotations']:
            del entry['area'], entry['iscrowd']
        for entry in content['images']:
            del entry['width'], entry['height']
        json_file(root, split).write_text(json.dumps(content), encoding='utf-8-sig')
    report = check_data.check(str(root))
    assert not report.faults.errors and report.faults.count('null-field')
    assert all('width' in e for e in report.dataset.splits['train'].records['images'])


def test_the_area_of_a_triangle_makes_no_corners_of_its_box(tmp_path: Path) -> None:
    """It is half of the box, here by chance that of [x1, y1, x2, y2]."""
    shape = dict(label='a', points=[[10, 10], [50, 10], [50, 40]], shape_type='polygon')
    for i in range(2):
        noise(tmp_path / f'{i}.jpg')
        (tmp_path / f'{i}.json').write_text(json.dumps(dict(shapes=[shape], imagePath=f'{i}.jpg')))
    assert not check_data.check(str(tmp_path)).faults.errors


def test_capital_suffixes_are_suffixes(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / 'yolo')
    (root / 'data.yaml').rename(root / 'data.YML')
    for path in sorted((root / 'labels/train').iterdir()):
        path.rename(path.with_suffix('.TXT'))
    report = check_data.check(str(root))
    assert not report.faults.errors and report.dataset.classes == CLASSES


def test_grey_label_maps_with_alpha_are_grey(tmp_path: Path) -> None:
    for i in range(2):
        noise(tmp_path / f'images/{i}.jpg')
        label_map(tmp_path / f'masks/{i}.png')
        with Image.open(tmp_path / f'masks/{i}.png') as image:
            image.convert('LA').save(tmp_path / f'masks/{i}.png')
    report = check_data.check(str(tmp_path), classes=('background', 'line'))
    assert report.classes == {name: {'train': 2} for name in ('background', 'line')}


def test_images_that_cannot_be_read_are_named_in_an_empty_folder(tmp_path: Path) -> None:
    root = make_yolo(tmp_path / 'yolo')
    for path in sorted((root / 'images/val').iterdir()):
        path.rename(path.with_suffix('.avif'))
    assert check_data.check(str(root)).faults.count('unread-format') == 3


def test_rotated_boxes_may_be_drawn_by_hand(tmp_path: Path) -> None:
    """As in DOTA, where some have no right angles."""
    root = make_yolo(tmp_path / 'yolo')
    files = sorted((root / 'labels').rglob('*.txt'))
    for file in files:
        file.write_text('0 0.5 0.1 0.75 0.43 0.5 0.77 0.25 0.43\n')
    files[0].write_text('0 0.5 0.1 0.9 0.43 0.5 0.77 0.25 0.43\n')
    assert check_data.check(str(root)).faults.count('rotated-box') == len(files)


def test_rectangles_of_one_group_are_joined_aloud(tmp_path: Path) -> None:
    noise(tmp_path / '0.jpg')
    shapes = [dict(label='a', points=[[x, 5], [x + 9, 30]], shape_type='rectangle', group_id=1)
              for x in (5, 40)]  # fmt: skip
    (tmp_path / '0.json').write_text(json.dumps(dict(shapes=shapes, imagePath='0.jpg')))
    report = check_data.check(str(tmp_path))
    assert report.classes == {'a': {'train': 1}} and report.faults.count('boxes-joined') == 1
