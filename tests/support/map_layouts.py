"""Folders with label maps in the layouts of annotation programs and datasets."""

from pathlib import Path

import numpy as np
from box_layouts import images_of, jpegs, voc_xml
from layout_parts import (
    BOTH,
    NAMES,
    WHOLE,
    instance_map,
    label_map,
    layout,
    names_of,
    photo,
    save,
    save_map,
    text,
)

CLASSES = ('background', *NAMES)
COLOURS = [(0, 0, 0), (250, 50, 83), (60, 245, 250)]
VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]  # VOC's palette
LABELMAP = '# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\n' \
           'dög:60,245,250::\n'  # fmt: skip
CAMVID = ('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car',
          'Pedestrian', 'Bicyclist')  # fmt: skip


def maps(
    root: Path, folder: str, name: str = '{}.png', splits: dict = BOTH, **more: object
) -> None:
    """Write label maps for all images; `values` and `border` change their contents."""
    values, border = more.pop('values', (0, 1, 2)), more.pop('border', None)
    for split in splits:
        for i, stem in enumerate(names_of(split)):
            labels = label_map(i, values)
            if border is not None:
                labels[0] = border
            save_map(root / folder.format(split) / name.format(stem), labels, **more)


def names_file(root: Path, names: tuple[str, ...] = CLASSES, file: str = 'classes.txt') -> None:
    text(root / file, '\n'.join(names) + '\n')


def lists(root: Path, splits: dict = BOTH, folder: str = 'ImageSets/Segmentation') -> None:
    for split in splits:
        text(root / folder / f'{split}.txt', '\n'.join(names_of(split)) + '\n')


@layout('CVAT segmentation mask 1.1', maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, 'JPEGImages')
    maps(root, 'SegmentationClass', colours=COLOURS)
    maps(root, 'SegmentationObject', colours=COLOURS)
    lists(root)
    lists(root, folder='ImageSets/Main')  # as Datumaro writes them, beside an empty folder
    (root / 'Annotations').mkdir()
    text(root / 'labelmap.txt', LABELMAP)


@layout('CVAT segmentation mask 1.1, one subset', WHOLE, maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, 'JPEGImages', WHOLE)
    maps(root, 'SegmentationClass', colours=COLOURS, splits=WHOLE)
    text(root / 'ImageSets/Segmentation/default.txt', '\n'.join(names_of('train')))
    text(root / 'labelmap.txt', LABELMAP)


@layout('CVAT segmentation mask 1.1, images elsewhere', maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, 'images')
    maps(root, 'SegmentationClass', colours=COLOURS)
    lists(root)
    text(root / 'labelmap.txt', LABELMAP)


@layout('VOC 2012, label maps', maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, 'JPEGImages')
    maps(root, 'SegmentationClass', colours=VOC, indexed=True, border=255)
    lists(root)
    names_file(root)


@layout('VOC 2012, instances', masks=True, options=dict(layout='voc-objects'))
def _(root: Path) -> None:
    images_of(root, 'JPEGImages')
    maps(root, 'SegmentationClass', colours=VOC, indexed=True, border=255)
    for split in BOTH:
        for i, stem in enumerate(names_of(split)):
            save_map(root / f'SegmentationObject/{stem}.png', instance_map(i), VOC, indexed=True)
            voc_xml(root / f'Annotations/{stem}.xml', f'{stem}.jpg', i)
    lists(root)
    lists(root, folder='ImageSets/Main')
    names_file(root)


@layout('instances by number', masks=True, classes=('object',), warns={'unnamed-objects'},
        options=dict(layout='instance-maps'))  # fmt: skip
def _(root: Path) -> None:
    images_of(root, 'images/{}')
    for split in BOTH:
        for i, stem in enumerate(names_of(split)):
            save_map(root / f'masks/{split}/{stem}.png', instance_map(i))


@layout('instances by colour, named', WHOLE, masks=True, classes=('cell',),
        options=dict(layout='instance-maps', classes=('cell',)))  # fmt: skip
def _(root: Path) -> None:
    images_of(root, 'PNGImages', WHOLE)
    for i, stem in enumerate(names_of('train')):
        save_map(root / f'Masks/{stem}_mask.png', instance_map(i), VOC)


@layout('a file for each object', masks=True, classes=('object',), warns={'unnamed-objects'})
def _(root: Path) -> None:
    for split in BOTH:
        for i, stem in enumerate(names_of(split)):
            photo(root / split / stem / f'images/{stem}.png')
            numbers = instance_map(i)
            for number in range(1, numbers.max() + 1):
                mask = (numbers == number) * np.uint8(255)
                save_map(root / split / stem / f'masks/{number}.png', mask)


@layout('labelme exported as VOC, label maps', WHOLE, maps=True, classes=('_background_', *NAMES))
def _(root: Path) -> None:
    images_of(root, 'JPEGImages', WHOLE)
    maps(root, 'SegmentationClass', colours=VOC, indexed=True, splits=WHOLE)
    maps(root, 'SegmentationClassVisualization', '{}.jpg', splits=WHOLE)
    for stem in names_of('train'):
        np_file = root / f'SegmentationClassNpy/{stem}.npy'
        np_file.parent.mkdir(exist_ok=True)
        np.save(np_file, label_map(0))
    names_file(root, ('_background_', *NAMES), 'class_names.txt')


@layout('labelme exported as VOC, SegmentationClassPNG', WHOLE, maps=True,
        classes=('_background_', *NAMES))  # fmt: skip
def _(root: Path) -> None:
    images_of(root, 'JPEGImages', WHOLE)
    maps(root, 'SegmentationClassPNG', colours=VOC, indexed=True, splits=WHOLE)
    (root / 'SegmentationClass').mkdir()
    np.save(root / 'SegmentationClass/train_0.npy', label_map(0))
    names_file(root, ('_background_', *NAMES), 'class_names.txt')


@layout('flat images and masks', WHOLE, maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, 'images', WHOLE)
    maps(root, 'masks', splits=WHOLE)
    names_file(root)


@layout('flat images and masks, lists', maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, 'images')
    maps(root, 'masks')
    names_file(root)
    text(root / 'train.txt', '\n'.join(names_of('train')))
    text(root / 'val.txt', '\n'.join(f'images/{name}.jpg' for name in names_of('val')))


@layout('CamVid of fastai', maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, 'images')
    maps(root, 'labels', '{}_P.png')
    names_file(root, file='codes.txt')
    text(root / 'valid.txt', '\n'.join(jpegs('val')))


@layout('images and labels of splits', maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, 'images/{}')
    maps(root, 'labels/{}')
    names_file(root)


@layout('images and annotations, 0 and 255', WHOLE, maps=True,
        classes=('background', 'foreground'), warns={'unnamed-labels'})  # fmt: skip
def _(root: Path) -> None:
    images_of(root, 'images', WHOLE)
    maps(root, 'annotations', splits=WHOLE, values=(0, 255, 255))


@layout('0 and 255, named', maps=True, classes=('road', 'hole'))
def _(root: Path) -> None:
    images_of(root, 'images/{}')
    maps(root, 'masks/{}', values=(0, 255, 255))
    names_file(root, ('road', 'hole'))


@layout('label maps without names', WHOLE, maps=True, classes=('label 0', 'label 1', 'label 2'),
        warns={'unnamed-labels'})  # fmt: skip
def _(root: Path) -> None:
    images_of(root, 'images', WHOLE)
    maps(root, 'masks', splits=WHOLE)


@layout('label maps without names, with gaps', maps=True, warns={'unnamed-labels'},
        classes=('label 0', 'label 7', 'label 9'))  # fmt: skip
def _(root: Path) -> None:
    images_of(root, 'images/{}')
    maps(root, 'masks/{}', values=(0, 7, 9), border=255)


@layout('grey levels without names', maps=True, warns={'unnamed-labels'},
        classes=('label 0', 'label 128', 'label 255'))  # fmt: skip
def _(root: Path) -> None:
    images_of(root, 'images/{}')
    maps(root, 'masks/{}', values=(0, 128, 255))


@layout('colours without names', maps=True, warns={'unnamed-colours'},
        classes=('colour 0,0,0', 'colour 60,245,250', 'colour 250,50,83'))  # fmt: skip
def _(root: Path) -> None:
    images_of(root, 'images/{}')
    maps(root, 'masks/{}', colours=sorted(COLOURS))


@layout('black and white as JPEG', maps=True, warns={'unnamed-labels'},
        classes=('background', 'foreground'))  # fmt: skip
def _(root: Path) -> None:
    images_of(root, 'images/{}')
    maps(root, 'masks/{}', '{}.jpg', values=(0, 255, 255))


@layout('similar names in folders of any name', WHOLE, maps=True, classes=CLASSES)
def _(root: Path) -> None:
    for number, name in enumerate(names_of('train')):
        photo(root / f'dataset/original_img/img_{name}.jpg')
        labels = root / f'dataset/segmentation_img/gt_{name.replace("_", "_00")}.png'
        save_map(labels, label_map(number), COLOURS)
    text(root / 'class_dict.csv', 'name;r;g;b\nbackground;0;0;0\ncat;250;50;83\n'
         'dög;60;245;250\n')  # fmt: skip


@layout('void 11', maps=True, classes=CLASSES, options=dict(ignore=('11',)))
def _(root: Path) -> None:
    images_of(root, 'images/{}')
    maps(root, 'masks/{}', border=11)
    names_file(root)


@layout('void 0', maps=True, classes=NAMES, options=dict(ignore=('0',)))
def _(root: Path) -> None:
    images_of(root, 'images/{}')
    maps(root, 'masks/{}')
    names_file(root, NAMES)


@layout('NAME_mask.png beside NAME.jpg', WHOLE, maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, '.', WHOLE)
    maps(root, '.', '{}_mask.png', splits=WHOLE)
    names_file(root)


@layout('NAME_mask.png in two folders', WHOLE, maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, 'images', WHOLE)
    maps(root, 'masks', '{}_mask.png', splits=WHOLE)
    names_file(root)


@layout('NAME-mask.png in folders of splits', maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, '{}')
    maps(root, '{}', '{}-mask.png')
    names_file(root)


@layout('Roboflow semantic masks', maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, '{}')
    maps(root, '{}', '{}_mask.png')
    (root / 'val').rename(root / 'valid')
    for split in ('train', 'valid'):
        text(root / split / '_classes.csv', 'Pixel Value, Class\n0, background\n1, cat\n2, dög\n')


@layout('CamVid of the SegNet tutorial', maps=True, classes=CAMVID, warns={'void-ignored'})
def _(root: Path) -> None:
    for split in BOTH:
        for stem in names_of(split):
            photo(root / split / f'{stem}.png')
    maps(root, '{}annot', values=(0, 8, 9), border=11)
    photo(root / 'test/a.png')
    save_map(root / 'testannot/a.png', label_map(0))


@layout('CamVid with label_colors.txt', WHOLE, maps=True, classes=('Animal', *NAMES),
        warns={'void-ignored'})  # fmt: skip
def _(root: Path) -> None:
    for stem in names_of('train'):
        photo(root / f'701_StillsRaw_full/{stem}.png')
    colours = [(64, 128, 64), (192, 0, 128), (0, 128, 192), (0, 0, 0)]
    maps(root, 'LabeledApproved_full', '{}_L.png', WHOLE, colours=colours, border=3)
    text(root / 'label_colors.txt', '64 128 64\tAnimal\n192 0 128\t\tcat\n0 128 192\tdög\n'
         '0 0 0\t\tVoid\n')  # fmt: skip


@layout('CamVid with class_dict.csv', maps=True, classes=CLASSES)
def _(root: Path) -> None:
    images_of(root, '{}')
    maps(root, '{}_labels', '{}_L.png', colours=COLOURS)
    text(root / 'class_dict.csv', 'name,r,g,b\nbackground,0,0,0\ncat,250,50,83\ndög,60,245,250\n')


def cityscapes(root: Path, kind: str, values: tuple, border: int) -> None:
    for split in BOTH:
        for i, stem in enumerate(names_of(split)):
            photo(root / f'leftImg8bit/{split}/aachen/{stem}_leftImg8bit.png')
            labels = label_map(i, values)
            labels[0] = border
            file = root / f'gtFine/{split}/aachen/{stem}_gtFine_{kind}.png'
            save_map(file, labels)
            save(file.with_name(f'{stem}_gtFine_polygons.json'), dict(imgHeight=1, objects=[]))
            photo(file.with_name(f'{stem}_gtFine_color.png'))


@layout('Cityscapes, labelTrainIds', maps=True, classes=('road', 'sidewalk', 'building'))
def _(root: Path) -> None:
    cityscapes(root, 'labelTrainIds', (0, 1, 2), 255)


@layout('Cityscapes, labelIds', maps=True, classes=('road', 'sidewalk', 'building'),
        warns={'void-ignored'})  # fmt: skip
def _(root: Path) -> None:
    cityscapes(root, 'labelIds', (7, 8, 11), 3)


@layout('CVAT Cityscapes 1.0', maps=True, classes=CLASSES)
def _(root: Path) -> None:
    cityscapes(root, 'labelIds', (0, 1, 2), 0)
    (root / 'imgsFine').mkdir()
    (root / 'leftImg8bit').rename(root / 'imgsFine/leftImg8bit')
    text(root / 'label_colors.txt', ''.join(f'{r} {g} {b} {name}\n' for name, (r, g, b)
                                            in zip(CLASSES, COLOURS)))  # fmt: skip


@layout('ADEChallengeData2016', maps=True, classes=('wall', 'building', 'sky'),
        warns={'void-ignored'})  # fmt: skip
def _(root: Path) -> Path:
    root = root / 'ADEChallengeData2016'
    for split, folder in (('train', 'training'), ('val', 'validation')):
        for name in jpegs(split):
            photo(root / f'images/{folder}/{name}')
        maps(root, f'annotations/{folder}', splits={split: 0}, values=(1, 2, 3), border=0)
    text(root / 'objectInfo150.txt', 'Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1\t1\t1\t1\twall\n')
    return root
