"""Folders from annotation programs and datasets are read at the first attempt, with the counts that
their generators in tests/support wrote, and models train on what was read."""

import json
import re
from pathlib import Path

import box_layouts
import map_layouts
import numpy as np
import pytest
from box_layouts import coco, images_of, jpegs
from conftest import load_tool, tool
from layout_parts import (
    LAYOUTS,
    Layout,
    label_map,
    number_of_objects,
    objects,
    photo,
    save,
    save_map,
)
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from backbones.cli import check_data
from backbones.data.check_dataset import Report
from backbones.data.configs.new_config import new_config
from backbones.data.configs.write_config import write_config
from backbones.data.layouts.folder import LAYOUTS as READ
from backbones.errors import UserError
from backbones.openmmlab.registries import import_scope

assert box_layouts and map_layouts  # importing them fills LAYOUTS
# warnings that do not depend on the layout
ALWAYS = {'no-validation', 'class-unseen', 'class-not-judged', 'without-objects', 'unused-image',
          'test-unannotated'}  # fmt: skip
SPECIAL = {'image-elsewhere', 'root-category', 'keypoints-dropped', 'test-unannotated',
           'unnamed-colours', 'unnamed-labels', 'void-ignored', 'test-missing'}  # fmt: skip
BASES = {True: 'semantic_fpn_cloformer_nano_small', False: 'retinanet_cloformer_nano_small'}


def kinds(report: Report) -> tuple[set[str], set[str]]:
    faults = report.faults
    return {fault.kind for fault in faults.errors}, {fault.kind for fault in faults.warnings}


def make(name: str, folder: Path) -> tuple[Layout, Path]:
    folder.mkdir()
    layout = LAYOUTS[name]
    return layout, layout.make(folder) or folder


def test_the_tools_offer_the_layouts_that_are_read() -> None:
    for name in ('check_data', 'new_config'):
        assert tuple(READ) == load_tool(name).LAYOUTS


@pytest.mark.parametrize('name', LAYOUTS)
def test_a_layout_is_read_at_the_first_attempt(name: str, tmp_path: Path) -> None:
    layout, root = make(name, tmp_path / 'data')
    report = check_data.check(str(root), **layout.options)
    dataset = report.dataset
    errors, warnings = kinds(report)
    assert not errors, report.faults.lines()
    assert warnings - ALWAYS == layout.warns - ALWAYS
    assert layout.warns & SPECIAL <= warnings
    assert dataset.classes[: len(layout.classes)] == layout.classes
    splits = {name: split for name, split in dataset.splits.items() if name != 'test'}
    assert {name: len(split.paths()) for name, split in splits.items()} == layout.splits
    if layout.maps:
        assert {name: len(split.pairs) for name, split in splits.items()} == layout.splits
    else:
        found = {name: len(split.records['annotations']) for name, split in splits.items()}
        assert found == {name: number_of_objects(images) for name, images in layout.splits.items()}
        assert dataset.has_masks() == layout.masks


# one for each reader and each way to map values; the others are slow tests
USUAL = {
    'darknet, divided by lists alone', 'CVAT Ultralytics oriented boxes',
    'CVAT for images 1.1, polygons and masks, subsets', 'Label Studio COCO of both splits',
    'labelme, circles and masks, splits', 'COCO, several files of a split', 'CreateML',
    'CVAT segmentation mask 1.1', 'VOC 2012, instances', '0 and 255, named', 'void 0',
    'instances by number', 'a file for each object', 'black and white as JPEG',
    'similar names in folders of any name',
    'NAME_mask.png beside NAME.jpg', 'CamVid of the SegNet tutorial', 'Cityscapes, labelIds',
}  # fmt: skip


@pytest.mark.parametrize(
    'name', [name if name in USUAL else pytest.param(name, marks=pytest.mark.slow)
             for name in LAYOUTS]
)  # fmt: skip
def test_a_config_learns_what_the_generator_wrote(name: str, tmp_path: Path) -> None:
    layout, root = make(name, tmp_path / 'data')
    before = {path: path.read_bytes() for path in root.rglob('*') if path.is_file()}
    report = check_data.check(str(root), **layout.options, **VAL[len(layout.splits)])
    out = tmp_path / 'own.py'
    text = new_config(report.dataset, base=BASES[layout.maps], out=out)
    write_config(text, report.dataset, out)
    assert {p: p.read_bytes() for p in root.rglob('*') if p.is_file()} == before
    again = check_data.check(str(out))
    assert not again.faults.errors, again.faults.lines()
    check_learnt(Config.fromfile(out), layout)


VAL: dict[int, dict] = {1: dict(val=0.25), 2: {}}


def check_learnt(cfg: Config, layout: Layout) -> None:
    """A config's datasets give the model what the generator wrote."""
    import_scope(cfg.default_scope)
    init_default_scope(cfg.default_scope)
    for split in ('train', 'val'):
        part = cfg[f'{split}_dataloader'].dataset
        steps = [step for step in part.pipeline if step['type'].startswith('Load')]
        built = DATASETS.build(dict(part, pipeline=steps if layout.maps else []))
        for i in range(len(built)):
            info = built[i] if layout.maps else built.get_data_info(i)
            # of the generator's image
            number = int(re.search(r'_(\d+)', Path(info['img_path']).stem)[1])
            if not layout.maps:
                kinds = [built.metainfo['classes'][x['bbox_label']] for x in info['instances']]
                names = box_layouts.NAMES if len(layout.classes) > 1 else 2 * layout.classes
                assert sorted(kinds) == sorted(names[kind] for kind, _ in objects(number))
                continue
            wanted = label_map(number)
            if 'foreground' in layout.classes or 'hole' in layout.classes:
                wanted = wanted.clip(max=1)
            if 'Sky' in layout.classes:
                wanted = np.array([0, 8, 9])[wanted]
            if layout.options.get('ignore') == ('0',):
                wanted = np.array([255, 0, 1])[wanted]
            got = info['gt_seg_map']
            assert (got[1:] == wanted[1:]).all()
            assert {*np.unique(got[0])} <= {*np.unique(wanted[0]), 255}


def test_a_colour_that_the_list_lacks_is_named_with_its_share(tmp_path: Path) -> None:
    LAYOUTS['CVAT segmentation mask 1.1'].make(tmp_path)
    labels = label_map(0)
    labels[:12] = 3  # a quarter of 48 rows
    save_map(tmp_path / 'SegmentationClass/train_0.png', labels,
             [*map_layouts.COLOURS, (1, 2, 250)])  # fmt: skip
    report = check_data.check(str(tmp_path))
    assert kinds(report)[0] == {'label-unmapped'}
    assert 'train_0.png has (1, 2, 250) (25 %) of its pixels' in check_data.text(report)
    # the remedy, to the letter
    (tmp_path / 'labelmap.txt').write_text(map_layouts.LABELMAP + 'border:1,2,250::\n')
    report = check_data.check(str(tmp_path), ignore=['border'])
    assert not kinds(report)[0] and report.dataset.classes == map_layouts.CLASSES


def test_tracks_need_their_frames(tmp_path: Path) -> None:
    LAYOUTS['CVAT for video 1.1'].make(tmp_path)
    file, folder = tmp_path / 'annotations.xml', tmp_path / 'images'
    written = file.read_text()
    file.write_text(written.replace('frame="1" keyframe="1" outside="1"', 'frame="2" outside="1"'))
    report = check_data.check(str(tmp_path))
    assert 'track 0 has no shape in frame 1, between 0 and 2' in check_data.text(report)
    for given in ('x', '99999999999'):
        file.write_text(written.replace('frame="0"', f'frame="{given}"'))
        assert 'broken-shape' in kinds(check_data.check(str(tmp_path)))[0]
    file.write_text(written.replace('<track ', '<track task_id="1" ', 1))
    assert 'several tasks: export each' in check_data.text(check_data.check(str(tmp_path)))
    file.write_text(written)
    for number, name in enumerate('abcd'):  # a task of images, in the order of their names
        (folder / f'frame_{number:06d}.PNG').rename(folder / f'{name}.PNG')
    report = check_data.check(str(tmp_path))
    assert not kinds(report)[0] - ALWAYS and len(report.dataset.splits['train'].paths()) == 4
    (folder / 'd.PNG').unlink()
    assert 'use ffmpeg -i VIDEO' in check_data.text(check_data.check(str(tmp_path)))


@pytest.mark.parametrize(
    'old, new, kind',
    [
        ('<mask>mask_3.png', '<mask>gone.png', 'broken-shape'),
        ('<x>8</x>', '<x>left</x>', 'broken-shape'),
        ('<name>cat</name>', '<name/>', 'unnamed-class'),
        ('</annotation>', '', 'broken-file'),
    ],
)
def test_what_is_wrong_in_labelme_xml_is_named(
    old: str, new: str, kind: str, tmp_path: Path
) -> None:
    LAYOUTS['LabelMe of MIT'].make(tmp_path)
    for file in (tmp_path / 'Annotations').rglob('*.xml'):
        file.write_text(file.read_text().replace(old, new))
    assert kind in kinds(check_data.check(str(tmp_path)))[0]


def test_colours_without_a_list_end_with_one(tmp_path: Path) -> None:
    LAYOUTS['CVAT segmentation mask 1.1'].make(tmp_path)
    (tmp_path / 'labelmap.txt').unlink()
    report = check_data.check(str(tmp_path))
    assert 'name them in labelmap.txt, with a line such as road:' in check_data.text(report)
    assert report.dataset.classes == ('colour 0,0,0', 'colour 60,245,250', 'colour 250,50,83')
    (tmp_path / 'labelmap.txt').write_text('background:0,0,0\ncat:250,50,83\ndög:60,245,250\n')
    assert not kinds(check_data.check(str(tmp_path)))[0]


def test_remedies_of_label_maps_lead_on(tmp_path: Path) -> None:
    names = ['background', 'cat', 'dög']
    for number, (values, border) in enumerate([((0, 1, 2), None), ((0, 7, 9), None),
                                               ((0, 1, 2), 7), ((0, 255, 255), None)]):  # fmt: skip
        for split in ('train', 'val'):
            images_of(tmp_path / str(number), 'images/{}', {split: 0})
            map_layouts.maps(tmp_path / str(number), 'masks/{}', splits={split: 0}, values=values,
                             border=border)  # fmt: skip
    plain, gaps, void, binary = (str(tmp_path / str(number)) for number in range(4))
    assert 'unnamed-labels' in kinds(check_data.check(plain))[1]
    assert kinds(check_data.check(plain, classes=names)) == (set(), set())

    assert kinds(check_data.check(gaps)) == (set(), {'unnamed-labels'})
    report = check_data.check(gaps, ignore=['7'])
    assert kinds(report) == (set(), {'unnamed-labels'})
    assert report.dataset.classes == ('label 0', 'label 9')
    assert 'label-values' in kinds(check_data.check(gaps, classes=names))[0]
    lines = [f'{n}:{v},{v},{v}' for n, v in zip(names, (0, 7, 9))]
    (tmp_path / '1/labelmap.txt').write_text('\n'.join(lines))
    report = check_data.check(gaps)
    assert kinds(report) == (set(), set()) and report.dataset.classes == tuple(names)

    assert 'label-values' in kinds(check_data.check(void, classes=names))[0]
    assert kinds(check_data.check(void, classes=names, ignore=['7'])) == (set(), set())

    assert 'label-0-255' in kinds(check_data.check(binary, classes=names))[0]
    assert kinds(check_data.check(binary, classes=names[:2])) == (set(), set())


@pytest.mark.parametrize('word', ['Void', '0,0,0'])
def test_void_is_a_class_if_it_is_named(word: str, tmp_path: Path) -> None:
    LAYOUTS['CamVid with label_colors.txt'].make(tmp_path)
    names = ('Animal', 'cat', 'dög', 'Void')
    assert check_data.check(str(tmp_path), classes=names).dataset.classes == names
    report = check_data.check(str(tmp_path), ignore=[word])
    assert report.dataset.classes == names[:3] and 'void-ignored' not in kinds(report)[1]


def test_what_is_ignored_must_be_there(tmp_path: Path) -> None:
    LAYOUTS['void 11'].make(tmp_path)
    with pytest.raises(UserError, match=r"--ignore dog is neither a value.*mean 'dög'"):
        check_data.check(str(tmp_path), ignore=['dog'])
    report = check_data.check(str(tmp_path), ignore=['dög', '11'])
    assert report.dataset.classes == ('background', 'cat')
    assert report.notes == ['ignored: label 2 (dög)']


def test_rotated_boxes_are_learnt_only_if_that_is_allowed(tmp_path: Path) -> None:
    LAYOUTS['CVAT Ultralytics oriented boxes'].make(tmp_path)
    report = check_data.check(str(tmp_path))
    assert kinds(report)[0] == {'rotated-box'}
    assert report.dataset.has_masks() and '--enclosing-boxes' in check_data.text(report)
    assert not kinds(check_data.check(str(tmp_path), allowed=['rotated-box']))[0]


def test_rotated_boxes_of_cvat_are_named(tmp_path: Path) -> None:
    turned = box_layouts.BOX.replace('z_order', 'rotation="30" z_order')
    box_layouts.cvat_xml(tmp_path, f'{box_layouts.BOX}|{turned}')
    assert 'rotated-box' in kinds(check_data.check(str(tmp_path)))[0]
    dataset = check_data.check(str(tmp_path), enclosing_boxes=True).dataset
    box = dataset.splits['train'].records['annotations'][2]['bbox']  # 16x20 at 32, 9
    assert np.allclose(box[2:], [16 * 0.866 + 20 * 0.5, 16 * 0.5 + 20 * 0.866], atol=1e-2)


@pytest.mark.parametrize(
    'tag, kind',
    [('<points label="cat" points="1,2"/>', 'shape-left-out'),
     ('<polygon label="cat" points="1,2;3"/>', 'broken-shape'),
     ('<mask label="cat" rle="1,2" left="0" top="0" width="9" height="9"/>', 'broken-shape'),
     ('<box label="cat" xtl="1"/>', 'broken-shape'), ('<box xtl="1"/>', 'broken-shape'),
     ('<what label="cat"/>', 'broken-shape')],
)  # fmt: skip
def test_what_cannot_be_read_of_cvat_is_named(tag: str, kind: str, tmp_path: Path) -> None:
    box_layouts.cvat_xml(tmp_path, f'{box_layouts.BOX}|{tag.replace("{", "{{")}')
    errors, warnings = kinds(check_data.check(str(tmp_path)))
    assert kind in errors | warnings and 'train_1.jpg: a ' in check_data.text(
        check_data.check(str(tmp_path))
    )


@pytest.mark.parametrize(
    'shape, kind',
    [(dict(label='cat', points=[[1, 2]], shape_type='point'), 'shape-left-out'),
     (dict(label='cat', points=[[1, 2]]), 'broken-shape'), (7, 'unnamed-class'),
     (dict(label='cat', points='a'), 'broken-shape'), (dict(points=[]), 'unnamed-class'),
     (dict(label='cat', points=[[1, 2]], shape_type='mask', mask='x'), 'broken-shape')],
)  # fmt: skip
def test_what_cannot_be_read_of_labelme_is_named(shape: dict, kind: str, tmp_path: Path) -> None:
    LAYOUTS['labelme, beside the images'].make(tmp_path)
    file = tmp_path / 'train_2.json'
    content = json.loads(file.read_text())
    save(file, dict(content, shapes=[*content['shapes'], shape]))
    errors, warnings = kinds(check_data.check(str(tmp_path)))
    assert kind in errors | warnings


def test_shapes_of_one_group_are_one_instance(tmp_path: Path) -> None:
    LAYOUTS['labelme, beside the images'].make(tmp_path)
    file = tmp_path / 'train_1.json'
    content = json.loads(file.read_text())
    for shape in content['shapes']:
        shape |= dict(label='cat', group_id=0)
    save(file, content)
    records = check_data.check(str(tmp_path)).dataset.splits['train'].records
    assert len(records['annotations']) == 5
    (joined,) = (a for a in records['annotations'] if len(a['segmentation']) == 2)
    assert joined['bbox'] == [8, 9, 40, 20]


def test_labelme_without_the_name_of_its_image_is_of_that_of_its_own(tmp_path: Path) -> None:
    """The one that is in no folder of masks."""
    file = tmp_path / 'drawn/0.json'
    for folder in ('images', 'masks'):
        photo(tmp_path / folder / '0.png')
    shape = dict(label='a', points=[[1, 1], [9, 1], [9, 9]], shape_type='polygon')
    file.parent.mkdir()
    save(file, dict(shapes=[shape]))
    assert check_data.check(str(tmp_path)).classes == {'a': {'train': 1}}


def test_the_ignored_label_of_labelme_is_no_class(tmp_path: Path) -> None:
    LAYOUTS['labelme, beside the images'].make(tmp_path)
    file = tmp_path / 'train_0.json'
    content = json.loads(file.read_text())
    content['shapes'][0]['label'] = '__ignore__'
    save(file, dict(content, imagePath='train_0.json'))  # as in labelme's own tutorial
    report = check_data.check(str(tmp_path))
    assert report.dataset.classes == box_layouts.NAMES
    assert kinds(report)[1] == {'shape-left-out', 'without-objects', 'no-validation'}
    assert 'train_0.json: shape 1, __ignore__' in check_data.text(report)


def test_labels_of_points_are_no_classes_of_cvat(tmp_path: Path) -> None:
    box_layouts.cvat_xml(tmp_path, f'{box_layouts.BOX}|{box_layouts.BOX}')
    file = tmp_path / 'annotations.xml'
    more = '<label><name>man</name><type>skeleton</type></label><label><name>1</name><parent>man' \
           '</parent><type>points</type></label></labels>'  # fmt: skip
    file.write_text(file.read_text().replace('</labels>', more))
    assert check_data.check(str(tmp_path)).dataset.classes == box_layouts.NAMES


def test_a_yaml_may_list_the_images_themselves(tmp_path: Path) -> None:
    box_layouts.yolo(tmp_path, 'images/{}', 'labels/{}')
    listed = {split: [f'images/{split}/{name}' for name in jpegs(split)] for split in
              ('train', 'val')}  # fmt: skip
    save(tmp_path / 'data.yaml', dict(listed, names=list(box_layouts.NAMES)))
    report = check_data.check(str(tmp_path))
    assert kinds(report) == (set(), set()) and len(report.dataset.splits['train'].paths()) == 4


def test_a_relative_folder_gives_relative_names(tmp_path: Path, monkeypatch) -> None:
    LAYOUTS['Label Studio YOLO'].make(tmp_path / 'data')
    monkeypatch.chdir(tmp_path)
    report = check_data.check('data')
    assert kinds(report) == (set(), {'no-validation'})
    names = [e['file_name'] for e in report.dataset.splits['train'].records['images']]
    assert names[0] == 'images/train_0.jpg'


def test_voc_without_answers_to_its_test_leaves_it_out(tmp_path: Path) -> None:
    LAYOUTS['VOC 2012, instances'].make(tmp_path)
    (tmp_path / 'ImageSets/Main/test.txt').write_text('a\nb\n')
    report = check_data.check(str(tmp_path), layout='voc')
    assert not kinds(report)[0] and 'test-unannotated' in kinds(report)[1]
    assert [*report.dataset.splits] == ['train', 'val']


def test_coco_itself_is_its_instances(tmp_path: Path) -> None:
    """Captions, keypoints and lists of other images are beside them."""
    for split in ('train', 'val'):
        images_of(tmp_path, f'{split}2017', {split: 0})
        content = coco(jpegs(split))
        save(tmp_path / f'annotations/instances_{split}2017.json', content)
        save(tmp_path / f'annotations/person_keypoints_{split}2017.json', content)
        captions = [dict(id=1, image_id=1, caption='a bird')]
        save(
            tmp_path / f'annotations/captions_{split}2017.json', dict(content, annotations=captions)
        )
    for name in ('test2017', 'test-dev2017', 'unlabeled2017'):
        others = dict(images=coco(['gone.jpg'])['images'], categories=[])
        save(tmp_path / f'annotations/image_info_{name}.json', others)
    report = check_data.check(str(tmp_path))
    assert kinds(report) == (set(), {'test-unannotated'})
    assert {k: len(s.paths()) for k, s in report.dataset.splits.items()} == dict(train=4, val=2)
    assert not any(split.own_file for split in report.dataset.splits.values())


def test_images_without_label_maps_are_a_test_that_is_left_out(tmp_path: Path) -> None:
    LAYOUTS['images and labels of splits'].make(tmp_path)
    photo(tmp_path / 'images/test/a.jpg')
    report = check_data.check(str(tmp_path))
    assert kinds(report) == (set(), {'test-unannotated'})
    assert [*report.dataset.splits] == ['train', 'val']


def test_xml_in_utf_16_is_read(tmp_path: Path) -> None:
    LAYOUTS['LabelImg VOC'].make(tmp_path)
    for file in tmp_path.glob('*.xml'):
        file.write_bytes(
            f'<?xml version="1.0" encoding="utf-16"?>{file.read_text()}'.encode('utf-16')
        )
    assert kinds(check_data.check(str(tmp_path))) == (set(), {'no-validation'})


def test_labelme_agrees_with_supervision(tmp_path: Path) -> None:
    """Its reader knows only rectangles and polygons."""
    import supervision as sv

    LAYOUTS['labelme, rectangles, JSON in a folder of their own'].make(tmp_path)
    theirs = sv.DetectionDataset.from_labelme(str(tmp_path / 'images'), str(tmp_path / 'labels'))
    ours = check_data.check(str(tmp_path)).dataset.splits['train'].records
    boxes = np.array([a['bbox'] for a in ours['annotations']])
    boxes[:, 2:] += boxes[:, :2]
    assert (np.vstack([d.xyxy for d in theirs.annotations.values()]) == boxes).all()


def test_files_that_annotate_an_image_twice_are_named(tmp_path: Path) -> None:
    images_of(tmp_path, 'images', {'train': 4})
    for name in ('ann', 'bob'):
        save(tmp_path / f'annotations/{name}.json', coco(jpegs('train')))
    report = check_data.check(str(tmp_path))
    assert kinds(report)[0] == {'files-conflict'}
    assert 'ann.json and ' in check_data.text(report) and 'bob.json' in check_data.text(report)


def test_joined_files_of_one_name_may_both_lack_an_image(tmp_path: Path) -> None:
    for name in 'ab':
        images_of(tmp_path, name, {'train': 2})
        content = coco(jpegs('train'))
        for annotation in content['annotations']:
            annotation['image_id'] = 99
        save(tmp_path / name / 'train.json', content)
    report = check_data.check(str(tmp_path))
    (fault,) = (f for f in report.faults.errors if f.kind == 'unknown-image')
    assert '99 of train.json' in fault.examples[0]


def test_a_file_for_each_class_is_joined(tmp_path: Path) -> None:
    images_of(tmp_path, 'images', {'train': 4})
    for kind in (1, 2):
        content = coco(jpegs('train'))
        own = [a for a in content['annotations'] if a['category_id'] == kind]
        save(tmp_path / f'annotations/{kind}.json', dict(content, annotations=own))
    split = check_data.check(str(tmp_path)).dataset.splits['train']
    assert (len(split.records['images']), len(split.records['annotations'])) == (4, 6)


def test_an_image_is_not_taken_from_another_split(tmp_path: Path) -> None:
    for split in ('train', 'val'):
        images_of(tmp_path, split, {split: 0})
        save(tmp_path / f'annotations/{split}.json', coco(jpegs(split)))
    (tmp_path / 'train/train_0.jpg').rename(tmp_path / 'val/val_9.jpg')
    (tmp_path / 'val/val_0.jpg').rename(tmp_path / 'val/train_0.jpg')
    save(tmp_path / 'annotations/val.json', coco(['train_0.jpg', 'val_1.jpg']))
    assert 'missing-image' in kinds(check_data.check(str(tmp_path)))[0]


@pytest.mark.parametrize('deeper', ['annotations', 'train'])
def test_a_part_of_a_dataset_names_the_whole(deeper: str, tmp_path: Path) -> None:
    images_of(tmp_path, 'train', {'train': 4})
    save(tmp_path / 'annotations/train.json', coco(jpegs('train')))
    if deeper == 'train':
        with pytest.raises(UserError, match=f'a part of the dataset in {tmp_path}'):
            check_data.check(str(tmp_path / deeper))


def test_several_datasets_in_a_folder_are_named(tmp_path: Path) -> None:
    for name in ('a', 'b'):
        LAYOUTS['CVAT COCO 1.0, one subset'].make(tmp_path / name)
    with pytest.raises(UserError, match=r'holds several datasets: .*/a, .*/b; give one of them'):
        check_data.check(str(tmp_path))


@pytest.mark.parametrize(
    'base, layout', [('mask_rcnn_cloformer_nano_digits', 'voc-objects'),
                     ('retinanet_cloformer_nano_small', 'voc'),
                     ('semantic_fpn_cloformer_nano_small', 'voc-masks')]
)  # fmt: skip
def test_the_base_decides_what_a_folder_is_read_as(
    base: str, layout: str, tmp_path: Path, monkeypatch
) -> None:
    """Pascal VOC has boxes, label maps and instances side by side."""
    LAYOUTS['VOC 2012, instances'].make(tmp_path / 'data')
    out = tmp_path / 'own.py'
    said = tool('new_config', tmp_path / 'data', '--base', base, '--out', out)
    assert f'({layout}): ' in said and f'is read as {layout}; it also holds' in said
    assert not check_data.check(str(out)).faults.errors


def test_one_image_and_its_label_map_in_a_folder_are_no_files_of_objects(tmp_path: Path) -> None:
    for place in ('train', 'val', 'scenes/a', 'scenes/b'):
        photo(tmp_path / place / 'images/a.png')
        save_map(tmp_path / place / 'masks/a.png', label_map(0))
    assert check_data.check(str(tmp_path)).dataset.layout == 'masks'
    assert not READ['mask-files'].find(tmp_path / 'scenes')
