"""Folders with boxes and instances in the layouts of annotation programs and datasets."""

import base64
import io
from pathlib import Path

import numpy as np
from layout_parts import (
    BOTH,
    NAMES,
    WHOLE,
    H,
    W,
    hexagon,
    layout,
    names_of,
    objects,
    pairs,
    photo,
    save,
    text,
)
from PIL import Image


def coco(names: list[str], *, masks: bool = True, first: int = 1, image: int = 0) -> dict:
    """A COCO file of images with objects 0, 1, ..."""
    found = []
    for i in range(len(names)):
        for kind, box in objects(i):
            mask = [hexagon(box)] if masks else []
            found.append(dict(id=len(found) + first, image_id=i + first, category_id=kind + first,
                              bbox=box, area=box[2] * box[3] * 0.7, iscrowd=0,
                              segmentation=mask))  # fmt: skip
    images = [dict(id=i + first, file_name=n, width=W, height=H) for i, n in enumerate(names)]
    categories = [dict(id=i + first, name=n, supercategory='') for i, n in enumerate(NAMES)]
    return dict(info={}, licenses=[], images=images, annotations=found, categories=categories)


def yolo_lines(i: int, shape: str) -> str:
    lines = []
    for kind, (x, y, w, h) in objects(i):
        box = [(x + w / 2) / W, (y + h / 2) / H, w / W, h / H]
        tilted = [x + 8, y, x + 16, y + 8, x + 8, y + 16, x, y + 8]  # a square on its corner
        values = dict(
            box=box,
            pose=[*box, *box[:2], 2, *box[:2], 1],
            polygon=[v / (W, H)[k % 2] for k, v in enumerate(hexagon([x, y, w, h]))],
            rotated=[v / (W, H)[k % 2] for k, v in enumerate(tilted)],
        )[shape]
        lines.append(' '.join([str(kind), *(f'{v:.6f}' for v in values)]))
    return '\n'.join(lines) + '\n'


def yolo(root: Path, images: str, labels: str, shape: str = 'box', splits: dict = BOTH) -> None:
    for split in splits:
        for i, name in enumerate(names_of(split)):
            photo(root / images.format(split) / f'{name}.jpg')
            text(root / labels.format(split) / f'{name}.txt', yolo_lines(i, shape))


def voc_xml(file: Path, name: str, i: int, folder: str = 'JPEGImages') -> None:
    found = ''.join(
        f'<object><name>{NAMES[kind]}</name><pose>Unspecified</pose><truncated>0</truncated>'
        f'<difficult>0</difficult><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>'
        f'<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>'
        for kind, (x, y, w, h) in objects(i)
    )
    text(file, f'<annotation><folder>{folder}</folder><filename>{name}</filename><size><width>{W}'
               f'</width><height>{H}</height><depth>3</depth></size><segmented>0</segmented>{found}'
               '</annotation>')  # fmt: skip


def shapes(i: int, kind: str = 'polygon') -> list[dict]:
    points = {
        'polygon': lambda x, y, w, h: pairs(hexagon([x, y, w, h])),
        'rectangle': lambda x, y, w, h: [[x + w, y + h], [x, y]],
        'circle': lambda x, y, w, h: [[x + 8, y + 8], [x + 8, y]],
        'mask': lambda x, y, w, h: [[x, y], [x + w - 1, y + h - 1]],
    }[kind]
    found = []
    for number, box in objects(i):
        shape = dict(label=NAMES[number], points=points(*box), group_id=None, shape_type=kind)
        if kind == 'mask':
            opened = io.BytesIO()
            Image.fromarray(np.full((box[3], box[2]), True)).save(opened, 'PNG')
            shape['mask'] = base64.b64encode(opened.getvalue()).decode()
        found.append(shape)
    return found


def labelme(file: Path, name: str, i: int, kind: str = 'polygon') -> None:
    save(file, dict(version='5.5.0', flags={}, shapes=shapes(i, kind), imagePath=name,
                    imageData=None, imageHeight=H, imageWidth=W))  # fmt: skip


def images_of(root: Path, folder: str, splits: dict = BOTH) -> None:
    for split in splits:
        for name in names_of(split):
            photo(root / folder.format(split) / f'{name}.jpg')


def jpegs(split: str, folder: str = '') -> list[str]:
    return [f'{folder}{name}.jpg' for name in names_of(split)]


@layout('CVAT COCO 1.0, one subset', WHOLE, masks=True)
def _(root: Path) -> None:
    images_of(root, 'images/default', WHOLE)
    save(root / 'annotations/instances_default.json', coco(jpegs('train')))


@layout('CVAT COCO 1.0, boxes')
def _(root: Path) -> None:
    for split, subset in (('train', 'Train'), ('val', 'Validation')):
        for name in jpegs(split):
            photo(root / f'images/{subset}/{name}')
        save(root / f'annotations/instances_{subset}.json', coco(jpegs(split), masks=False))


@layout('CVAT COCO 1.0, a second file whose name begins with its split')
def _(root: Path) -> None:
    for split, name in (('train', 'instances_default'), ('val', 'val_instances_default')):
        images_of(root, f'images/{split}', {split: 0})
        save(root / f'annotations/{name}.json', coco(jpegs(split), masks=False))


@layout('CVAT YOLO 1.1, one subset', WHOLE)
def _(root: Path) -> None:
    yolo(root, 'obj_train_data', 'obj_train_data', splits=WHOLE)
    text(root / 'obj.names', '\n'.join(NAMES))
    text(root / 'obj.data', 'classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n'
         'backup = backup/\n')  # fmt: skip
    text(root / 'train.txt', '\n'.join(jpegs('train', 'data/obj_train_data/')))


@layout('CVAT YOLO 1.1, subsets')
def _(root: Path) -> None:
    yolo(root, 'obj_{}_data', 'obj_{}_data')
    for split, subset in (('train', 'Train'), ('val', 'Validation')):
        (root / f'obj_{split}_data').rename(root / f'obj_{subset}_data')
        text(root / f'{subset}.txt', '\n'.join(jpegs(split, f'data/obj_{subset}_data/')))
    text(root / 'obj.names', '\n'.join(NAMES))
    text(root / 'obj.data', 'classes = 2\nTrain = data/Train.txt\nValidation = '
         'data/Validation.txt\nnames = data/obj.names\nbackup = backup/\n')  # fmt: skip


@layout('CVAT YOLO 1.1, divided by folders since')
def _(root: Path) -> None:
    yolo(root, 'images/{}', 'labels/{}')
    text(root / 'obj.names', '\n'.join(NAMES))
    text(root / 'obj.data', 'classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n')
    names = [name for split in BOTH for name in jpegs(split, 'data/obj_train_data/')]
    text(root / 'train.txt', '\n'.join(names))


@layout('darknet, divided by lists alone')
def _(root: Path) -> None:
    yolo(root, 'obj_train_data', 'obj_train_data')
    text(root / 'obj.names', '\n'.join(NAMES))
    text(root / 'obj.data', 'classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\n'
         'names = data/obj.names\n')  # fmt: skip
    for split, file in (('train', 'train.txt'), ('val', 'valid.txt')):
        text(root / file, '\n'.join(jpegs(split, 'data/obj_train_data/')))


def cvat_ultralytics(root: Path, shape: str, more: str = '') -> None:
    yolo(root, 'images/{}', 'labels/{}', shape)
    for split in BOTH:
        text(root / f'{split}.txt', '\n'.join(jpegs(split, f'data/images/{split}/')))
    text(root / 'data.yaml', f'names:\n  0: cat\n  1: dög\npath: .\ntrain: train.txt\n'
         f'val: val.txt\n{more}')  # fmt: skip


@layout('CVAT Ultralytics detection')
def _(root: Path) -> None:
    cvat_ultralytics(root, 'box')


@layout('CVAT Ultralytics segmentation', masks=True)
def _(root: Path) -> None:
    cvat_ultralytics(root, 'polygon')


@layout('CVAT Ultralytics oriented boxes', options=dict(enclosing_boxes=True))
def _(root: Path) -> None:
    cvat_ultralytics(root, 'rotated')


@layout('CVAT Ultralytics pose', warns={'keypoints-dropped'})
def _(root: Path) -> None:
    cvat_ultralytics(root, 'pose', 'kpt_shape: [2, 3]\n')


def cvat_xml(root: Path, tags: str, subset: bool = False) -> None:
    """Two shapes alternate: `tags` has two formats, of x, y, w, h, the label and points."""
    found, number = '', 0
    for split in BOTH:
        for i, name in enumerate(jpegs(split)):
            inside = ''
            for j, (kind, (x, y, w, h)) in enumerate(objects(i)):
                points = ';'.join(f'{a},{b}' for a, b in pairs(hexagon([x, y, w, h])))
                inside += tags.split('|')[j % 2].format(
                    x=x, y=y, x2=x + w, y2=y + h, w=w, h=h, label=NAMES[kind], points=points,
                    rle=w * h)  # fmt: skip
            said = f' subset="{split}"' if subset else ''
            found += f'<image id="{number}" name="{name}"{said} width="{W}" height="{H}">' \
                     f'{inside}</image>'  # fmt: skip
            number += 1
            photo(root / 'images' / (split if subset else '') / name)
    labels = ''.join(f'<label><name>{name}</name><color>#ff0000</color></label>' for name in NAMES)
    text(root / 'annotations.xml', '<?xml version="1.0" encoding="utf-8"?>\n<annotations>'
         f'<version>1.1</version><meta><task><labels>{labels}</labels></task></meta>{found}'
         '</annotations>')  # fmt: skip


BOX = '<box label="{label}" source="manual" occluded="0" xtl="{x}" ytl="{y}" xbr="{x2}" ' \
      'ybr="{y2}" z_order="0"></box>'  # fmt: skip
POLYGON = '<polygon label="{label}" occluded="0" points="{points}" z_order="0"></polygon>'
MASK = '<mask label="{label}" occluded="0" rle="0, {rle}" left="{x}" top="{y}" width="{w}" ' \
       'height="{h}" z_order="0"></mask>'  # fmt: skip


@layout('CVAT for images 1.1, boxes', {'train': 6})
def _(root: Path) -> None:
    cvat_xml(root, f'{BOX}|{BOX}')


@layout('CVAT for images 1.1, polygons and masks, subsets', masks=True)
def _(root: Path) -> None:
    cvat_xml(root, f'{POLYGON}|{MASK}', subset=True)


@layout('CVAT for video 1.1', WHOLE, masks=True)
def _(root: Path) -> None:
    tracks = ''
    shapes_of = [
        '<polygon frame="{i}" keyframe="1" outside="{out}" occluded="0" points="{points}"/>',
        '<mask frame="{i}" keyframe="1" outside="{out}" occluded="0" rle="0, {rle}" left="{x}" '
        'top="{y}" width="{w}" height="{h}"/>',
    ]
    for i in range(WHOLE['train']):
        photo(root / f'images/frame_{i:06d}.PNG')
        for j, (kind, (x, y, w, h)) in enumerate(objects(i)):
            points = ';'.join(f'{a},{b}' for a, b in pairs(hexagon([x, y, w, h])))
            seen = dict(x=x, y=y, w=w, h=h, points=points, rle=w * h)
            both = ''.join(shapes_of[j].format(i=i + out, out=out, **seen) for out in (0, 1))
            tracks += (
                f'<track id="{2 * i + j}" label="{NAMES[kind]}" source="manual">{both}</track>'
            )
    labels = ''.join(f'<label><name>{name}</name></label>' for name in NAMES)
    text(root / 'annotations.xml', '<?xml version="1.0" encoding="utf-8"?>\n<annotations>'
         f'<version>1.1</version><meta><task><size>4</size><labels>{labels}</labels><original_size>'
         f'<width>{W}</width><height>{H}</height></original_size></task></meta>{tracks}'
         '</annotations>')  # fmt: skip


def labelme_xml(root: Path, file: str, image: str, masks: str) -> None:
    """Boxes, polygons and masks in turn, and a deleted object."""
    number = 0
    for split in BOTH:
        for i, name in enumerate(names_of(split)):
            photo(root / image.format(split) / f'{name}.jpg')
            found = '<object><name>old</name><deleted>1</deleted><id>9</id><polygon/></object>'
            for kind, box in objects(i):
                number += 1
                found += f'<object><name>{NAMES[kind]}</name><deleted>0</deleted><id>{number}</id>'
                found += drawn(root / masks.format(split), box, number) + '</object>'
            sides = f'<imagesize><nrows>{H}</nrows><ncols>{W}</ncols></imagesize>'
            text(root / file.format(split) / f'{name}.xml', f'<annotation><filename>{name}.jpg'
                 f'</filename><folder>{split}</folder><source><sourceImage/></source>{sides}'
                 f'{found}</annotation>')  # fmt: skip


def drawn(masks: Path, box: list[int], number: int) -> str:
    x, y, w, h = box
    if number % 3 == 0:
        masks.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((H, W, 4), np.uint8)
        pixels[y : y + h, x : x + w] = (255, 203, 0, 153)
        Image.fromarray(pixels).save(masks / f'mask_{number}.png')
        return f'<segm><username/><mask>mask_{number}.png</mask></segm>'
    corners = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
    points = corners if number % 3 == 1 else pairs(hexagon(box))
    kind = '<type>bounding_box</type>' if number % 3 == 1 else ''
    listed = ''.join(f'<pt><x>{a}</x><y>{b}</y></pt>' for a, b in points)
    return f'{kind}<polygon><username/>{listed}</polygon>'


@layout('CVAT LabelMe 3.0', masks=True)
def _(root: Path) -> None:
    labelme_xml(root, '{}', '{}', '{}/Masks')


@layout('LabelMe of MIT', masks=True)
def _(root: Path) -> None:
    labelme_xml(root, 'Annotations/{}', 'Images/{}', 'Masks/{}')


@layout('Label Studio COCO', WHOLE, masks=True, warns={'image-elsewhere'})
def _(root: Path) -> None:
    images_of(root, 'images', WHOLE)
    names = jpegs('train', 'images\\1/')
    names[0] = '..\\..\\label-studio\\media\\upload\\4\\train_0.jpg'
    names[1] = '/data/upload/1/90fbb0c1-train_1.jpg'
    save(root / 'result.json', coco(names, first=0))


@layout('Label Studio COCO of both splits', masks=True, warns={'image-elsewhere'})
def _(root: Path) -> None:
    for split in BOTH:
        images_of(root, '{}/images', {split: 0})
        names = [f'/data/local-files/?d=x/{name}' for name in jpegs(split)]
        save(root / split / 'result.json', coco(names, first=0))


@layout('Label Studio YOLO', WHOLE)
def _(root: Path) -> None:
    yolo(root, 'images', 'labels', splits=WHOLE)
    text(root / 'classes.txt', '\n'.join(NAMES) + '\n')
    save(root / 'notes.json', dict(categories=[dict(id=i, name=n) for i, n in enumerate(NAMES)],
                                   info=dict(year=2026, contributor='Label Studio')))  # fmt: skip


@layout('Label Studio YOLO, polygons', WHOLE, masks=True)
def _(root: Path) -> None:
    yolo(root, 'images', 'labels', 'polygon', splits=WHOLE)
    text(root / 'classes.txt', '\n'.join(NAMES) + '\n')


@layout('LabelImg VOC', WHOLE)
def _(root: Path) -> None:
    for i, name in enumerate(jpegs('train')):
        photo(root / name)
        voc_xml(root / f'train_{i}.xml', name, i, folder='photos')


@layout('LabelImg YOLO', WHOLE)
def _(root: Path) -> None:
    yolo(root, '.', '.', splits=WHOLE)
    text(root / 'classes.txt', '\n'.join(NAMES))


@layout('LabelImg YOLO, classes beside the labels')
def _(root: Path) -> None:
    yolo(root, 'images/{}', 'labels/{}')
    for split in BOTH:
        text(root / f'labels/{split}/classes.txt', '\n'.join(NAMES))


@layout('YOLO without data.yaml, lists')
def _(root: Path) -> None:
    yolo(root, 'images', 'labels')
    text(root / 'classes.txt', '\n'.join(NAMES))
    for split in BOTH:
        text(root / f'{split}.txt', '\n'.join(jpegs(split, './images/')))


@layout('Roboflow COCO', masks=True, warns={'root-category'})
def _(root: Path) -> None:
    for split, folder in (('train', 'train'), ('val', 'valid')):
        for name in jpegs(split):
            photo(root / folder / name)
        content = coco(jpegs(split), first=0)
        categories = [dict(id=0, name='pets', supercategory='none')]
        categories += [dict(id=i, name=n, supercategory='pets') for i, n in enumerate(NAMES, 1)]
        for annotation in content['annotations']:
            annotation['category_id'] += 1
        content['categories'] = categories
        save(root / folder / '_annotations.coco.json', content)


@layout('Roboflow YOLO', warns={'test-missing'})
def _(root: Path) -> None:
    yolo(root, '{}/images', '{}/labels')
    (root / 'val').rename(root / 'valid')
    text(root / 'data.yaml', 'train: ../train/images\nval: ../valid/images\ntest: ../test/images\n'
         'nc: 2\nnames: [cat, dög]\nroboflow:\n  workspace: x\n')  # fmt: skip


@layout('Roboflow YOLO Darknet')
def _(root: Path) -> None:
    yolo(root, '{}', '{}')
    (root / 'val').rename(root / 'valid')
    for split in ('train', 'valid'):
        text(root / split / '_darknet.labels', '\n'.join(NAMES))
    text(root / 'README.roboflow.txt', '4 images')


@layout('Ultralytics with its cache of images')
def _(root: Path) -> None:
    yolo(root, 'images/{}', 'labels/{}')
    text(root / 'data.yaml', 'train: images/train\nval: images/val\nnames: [cat, dög]\n')
    for split in BOTH:
        for name in names_of(split):
            np.save(root / 'images' / split / name, np.zeros((H, W, 3), np.uint8))


@layout('Roboflow VOC')
def _(root: Path) -> None:
    for split, folder in (('train', 'train'), ('val', 'valid')):
        for i, name in enumerate(jpegs(split)):
            photo(root / folder / name)
            voc_xml(root / folder / f'{split}_{i}.xml', name, i, folder='')


@layout('Ultralytics lists with paths of Windows')
def _(root: Path) -> None:
    yolo(root, 'images/{}', 'labels/{}')
    for split in BOTH:
        lines = [f'C:\\Users\\a\\data\\images\\{split}\\{name}' for name in jpegs(split)]
        text(root / f'{split}.txt', '\ufeff' + '\r\n'.join(lines))
    text(root / 'data.yaml', 'path: C:\\Users\\a\\data\ntrain: train.txt\nval: val.txt\n'
         'names: {1: dög, 0: cat}\n')  # fmt: skip


@layout('Ultralytics, datasets/NAME in path', masks=True)
def _(root: Path) -> None:
    yolo(root, 'images/{}', 'labels/{}', 'polygon')
    text(root / 'pets.yaml', 'path: ../datasets/pets\ntrain: images/train\nval: images/val\ntest:\n'
         'names:\n  0: cat\n  1: dög\n')  # fmt: skip


@layout('VOC, one list of all', {'train': 6})
def _(root: Path) -> None:
    for split in BOTH:
        for i, name in enumerate(jpegs(split)):
            photo(root / 'JPEGImages' / name)
            voc_xml(root / f'Annotations/{split}_{i}.xml', name, i)
    names = [name for split in BOTH for name in names_of(split)]
    text(root / 'ImageSets/Main/default.txt', '\n'.join(names))


@layout('labelme, beside the images', WHOLE, masks=True)
def _(root: Path) -> None:
    for i, name in enumerate(jpegs('train')):
        photo(root / name)
        labelme(root / f'train_{i}.json', name, i)


@layout('labelme, rectangles, JSON in a folder of their own', WHOLE)
def _(root: Path) -> None:
    images_of(root, 'images', WHOLE)
    for i, name in enumerate(jpegs('train')):
        labelme(root / f'labels/train_{i}.json', f'..\\images\\{name}', i, 'rectangle')


@layout('labelme, circles and masks, splits', masks=True)
def _(root: Path) -> None:
    for split, kind in (('train', 'circle'), ('val', 'mask')):
        for i, name in enumerate(jpegs(split)):
            photo(root / split / name)
            labelme(root / split / f'{split}_{i}.json', name, i, kind)


@layout('labelme exported as VOC', WHOLE)
def _(root: Path) -> None:
    text(root / 'class_names.txt', '_background_\ncat\ndög\n')
    for i, name in enumerate(jpegs('train')):
        photo(root / 'JPEGImages' / name)
        photo(root / 'AnnotationsVisualization' / name)
        voc_xml(root / f'Annotations/train_{i}.xml', name, i)


@layout('COCO, several files of a split', masks=True)
def _(root: Path) -> None:
    for split, number in BOTH.items():
        names = jpegs(split)
        images_of(root, split, {split: number})
        for i, name in enumerate(names):
            content = coco(names)
            image = content['images'][i]
            ours = [a for a in content['annotations'] if a['image_id'] == image['id']]
            kinds = [dict(c, id=9 - c['id']) for c in content['categories']] if i else (
                content['categories'])  # fmt: skip
            if i:
                ours = [dict(a, category_id=9 - a['category_id']) for a in ours]
            part = dict(images=[dict(image, file_name=name)], annotations=ours, categories=kinds)
            save(root / f'annotations/{split}_part{i}.json', part)


@layout('COCO, one file per image', WHOLE)
def _(root: Path) -> None:
    for i, name in enumerate(jpegs('train')):
        photo(root / name)
        content = coco(jpegs('train'), masks=False)
        ours = [a for a in content['annotations'] if a['image_id'] == i + 1]
        save(root / f'train_{i}.json', dict(content, images=content['images'][i : i + 1],
                                            annotations=ours))  # fmt: skip


@layout('COCO, images in sub-folders', WHOLE, masks=True, warns={'image-elsewhere'})
def _(root: Path) -> None:
    for i, name in enumerate(jpegs('train')):
        photo(root / f'images/day {i}' / name)
    save(root / 'annotations.json', coco(jpegs('train')))


@layout('COCO, test without annotations', masks=True, warns={'test-unannotated'})
def _(root: Path) -> None:
    for split in BOTH:
        images_of(root, split, {split: 0})
        save(root / f'annotations/{split}.json', coco(jpegs(split)))
    photo(root / 'test/a.jpg')
    content = coco(['a.jpg'])
    save(root / 'annotations/image_info_test.json',
         dict(images=content['images'], categories=content['categories']))  # fmt: skip


@layout('COCO, in a folder too high', masks=True)
def _(root: Path) -> None:
    for split in BOTH:
        images_of(root, f'export (1)/pets/{split}', {split: 0})
        save(root / f'export (1)/pets/annotations/{split}.json', coco(jpegs(split)))


@layout('YOLO, test without labels', warns={'test-unannotated'})
def _(root: Path) -> None:
    yolo(root, 'images/{}', 'labels/{}')
    photo(root / 'images/test/a.jpg')
    text(root / 'data.yaml', 'train: images/train\nval: images/val\ntest: images/test\n'
         'names: [cat, dög]\n')  # fmt: skip


@layout('COCO, folder called test_pets', WHOLE, masks=True)
def _(root: Path) -> Path:
    root = root / 'test_pets'
    images_of(root, 'images', WHOLE)
    save(root / 'annotations.json', coco(jpegs('train')))
    return root


@layout('CreateML', WHOLE)
def _(root: Path) -> None:
    found = []
    for i, name in enumerate(jpegs('train')):
        photo(root / name)
        boxes = [dict(label=NAMES[kind], coordinates=dict(x=x + w / 2, y=y + h / 2, width=w,
                                                          height=h))
                 for kind, (x, y, w, h) in objects(i)]  # fmt: skip
        found.append(dict(image=name, annotations=boxes))
    save(root / '_annotations.createml.json', found)


def rows(names: list[str]) -> list[str]:
    """The rows of a table: file, width, height, class, and the corners of each box."""
    return [
        f'{name},{W},{H},{NAMES[kind]},{x},{y},{x + w},{y + h}'
        for i, name in enumerate(names)
        for kind, (x, y, w, h) in objects(i)
    ]


HEAD = 'filename,width,height,class,xmin,ymin,xmax,ymax'


@layout('CSV of Roboflow')
def _(root: Path) -> None:
    images_of(root, '{}')
    for split in BOTH:
        text(root / split / '_annotations.csv', '\n'.join([HEAD, *rows(jpegs(split))]))


@layout('CSV of all images beside those of splits')
def _(root: Path) -> None:
    images_of(root, 'images')
    every = {split: rows(jpegs(split)) for split in BOTH}
    for split, some in every.items():
        text(root / f'data/{split}_labels.csv', '\n'.join([HEAD, *some]))
    text(root / 'data/all_labels.csv', '\n'.join([HEAD, *every['train'], *every['val']]))


@layout('CSV without a head, as keras-retinanet reads', WHOLE)
def _(root: Path) -> None:
    images_of(root, 'images', WHOLE)
    cells = [row.split(',') for row in rows(jpegs('train'))]
    lines = [','.join([f'images/{c[0]}', *c[4:], c[3]]) for c in cells]
    text(root / 'a.csv', '\n'.join(lines))


def via(names: list[str], *, version: int = 2, masks: bool = False) -> dict:
    """The images of a file of the VGG annotator; the keys have the size of a file at their end."""
    found = {}
    for i, name in enumerate(names):
        regions: list = []
        for kind, (x, y, w, h) in objects(i):
            xs, ys = zip(*pairs(hexagon([x, y, w, h])))
            box = dict(name='rect', x=x, y=y, width=w, height=h)
            outline = dict(name='polygon', all_points_x=list(xs), all_points_y=list(ys))
            regions.append(dict(shape_attributes=outline if masks else box,
                                region_attributes=dict(colour='', kind=NAMES[kind])))  # fmt: skip
        numbered = {str(k): region for k, region in enumerate(regions)}
        found[f'{name}123'] = dict(filename=name, size=123, file_attributes={},
                                   regions=numbered if version == 1 else regions)  # fmt: skip
    return found


@layout('VGG annotator, a project', WHOLE, masks=True)
def _(root: Path) -> None:
    images_of(root, 'images', WHOLE)
    images = via(jpegs('train'), masks=True)
    save(root / 'via_project.json', dict(_via_settings={}, _via_img_metadata=images))


@layout('VGG annotator 1, splits')
def _(root: Path) -> None:
    for split in BOTH:
        images_of(root, split, {split: 0})
        save(root / split / 'via_region_data.json', via(jpegs(split), version=1))
