"""Layouts of other programs that cannot be read: what each is, and what to do."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from backbones.data.files.listing import (
    FIRST,
    SUFFIXES,
    directly_in,
    first_files,
    first_images,
    start_of,
)
from backbones.data.files.split_names import split_of
from backbones.data.layouts.masks_apart import masks_apart
from backbones.data.layouts.yolo_labels import has_object
from backbones.errors import listed

BRUSH = re.compile(r'task-\d+-annotation-\d+-by-.*\.(png|npy)$')
TO_COCO = 'convert them to COCO'
LABEL_STUDIO = "look like Label Studio's own JSON: export as COCO or YOLO"

# signs in a JSON file, in the order of the search: the program, and what to do
JSON_SIGNS: dict[tuple[str, ...], str] = {
    **{
        (f'"{sign}"',): LABEL_STUDIO
        for sign in ('from_name', 'completions', 'rectanglelabels', 'polygonlabels', 'brushlabels')
    },
    ('"shapes"', '"imagePath"'): 'look like LabelMe files: leave them with their images',
    ('"visitedAssetIDs"',): 'look like VoTT files: export them as Pascal VOC',
    ('"asset"', '"regions"'): 'look like VoTT files: export them as Pascal VOC',
    ('"regions"',): 'look like files of the VGG annotator: leave them with their images',
    ('"annotations"', '"coordinates"'): f'look like CreateML files: {TO_COCO}',
    ('"objects"', '"size"'): 'look like Supervisely files, one per image: export them as COCO',
    ('"items"', '"categories"', '"labels"'): "look like Datumaro's own JSON: export as COCO",
    ('"image":', '"annotations"'): 'hold one image each, as in SA-1B: merge them into one COCO '
    'file per split',
    ('"frames"', '"labels"'): f'look like BDD100K files: {TO_COCO}',
    ('"imgHeight"', '"objects"'): 'look like Cityscapes polygons: make label maps of them with '
    'csCreateTrainIdLabelImgs of cityscapesscripts, beside leftImg8bit',
    (
        '"name_ndx"',
    ): 'look like the full ADE20K, with thousands of classes: use ADEChallengeData2016',
    ('"segments_info"',): 'look like panoptic COCO: use a config for it, or instances_*.json',
}
# signs in the first lines of a CSV file: what it is
CSV_SIGNS: dict[tuple[str, ...], str] = {
    ('imageid', 'xmin'): 'Open Images',
    ('region_shape_attributes',): 'the VGG annotator',
    ('image_id', 'encodedpixels'): 'run-length codes of Kaggle',
    ('imageid', 'encodedpixels'): 'run-length codes of Kaggle',
    ('annotation_id', 'annotator'): 'Label Studio',
}


def describe(root: Path) -> str:
    """Describe in a sentence what a folder's files look like; '' if they are unknown."""
    for look in LOOKS:
        if said := look(root):
            return f' {said}.'
    return ''


def json_sign(file: Path) -> str:
    """Describe what a JSON file that is not COCO looks like; '' if it is unknown."""
    start = start_of(file)
    if '"images"' in start and ('"categories"' in start or '"file_name"' in start):
        if '"caption"' in start and '"bbox"' not in start:
            return 'look like captions of COCO: use instances_*.json'
        return '' if '"segments_info"' not in start else JSON_SIGNS[('"segments_info"',)]  # COCO
    found = (said for signs, said in JSON_SIGNS.items() if all(s in start for s in signs))
    return next(found, '')


def _yolo_apart(root: Path) -> str:
    texts = (p for p in first_files(root) if p.suffix == '.txt')
    if not any(has_object(path) for path in islice(texts, 20)):
        return ''
    if not first_images(root):
        return (
            'It has YOLO labels, but no images: copy them into a folder "images" beside "labels", '
            'under the same names'
        )
    return (
        'It has text files like the labels of YOLO, but no image belongs to one: put them into '
        'images/NAME.jpg and labels/NAME.txt, or beside each other'
    )


def _unknown_texts(root: Path) -> str:
    """Describe text files that are called like images, such as KITTI's or those of a metric."""
    images = {path.stem for path in first_images(root)}
    texts = (p for p in first_files(root) if p.suffix == '.txt' and p.stem in images)
    file = next(texts, None)
    if file is None:
        return ''
    line = start_of(file).strip().partition('\n')[0]
    return (
        f'{file.relative_to(root)} is called like an image, but {line[:60]!r} is no line of YOLO: '
        'convert such files to its "class x y width height", in fractions of the image'
    )


def known_set(root: Path) -> str:
    """Recognise a published dataset by its folders, three levels deep; '' if it is none."""
    paths = (islice(root.glob(depth), FIRST) for depth in ('*', '*/*', '*/*/*'))
    folders = {path.name for some in paths for path in some if path.is_dir()}
    files = {p.name for p in first_files(root)}
    for signs, said in FOLDER_SIGNS.items():
        if {*signs} <= folders | files:
            return said
    if any(name.endswith('_atr.txt') for name in files):
        return FOLDER_SIGNS[('index_ade20k.pkl',)]
    return ''


FOLDER_SIGNS: dict[tuple[str, ...], str] = {
    ('labelTxt',): f'It is DOTA, with rotated boxes, which no model here learns: {TO_COCO}',
    ('image_2', 'label_2'): f'It is KITTI, with its own text files: {TO_COCO}',
    ('image_2',): 'It is KITTI: name its folders of images and label maps images and masks, with '
    '{train,val} in both',
    ('wider_face_split',): f'It is WIDER FACE, with its own text files: {TO_COCO}',
    ('img1', 'gt.txt'): 'It is MOT, with boxes of tracks over frames: convert gt/gt.txt to COCO',
    ('index_ade20k.pkl',): 'It is the full ADE20K, with thousands of classes in coded colours: use '
    'ADEChallengeData2016, with its 150 classes',
    ('33_context_labels',): 'It is Pascal Context, with .mat files: convert them to label maps, '
    'images/{train,val} and masks/{train,val}',
    ('trainval_merged.json',): 'It is Pascal Context: convert it to label maps with Detail, the '
    'package of its authors',
    ('SegmentationClass',): 'It has label maps in SegmentationClass, but no images: copy them into '
    'JPEGImages, under the same names',
    ('leftImg8bit', 'gtFine'): 'It is Cityscapes without label maps: make them with '
    'csCreateTrainIdLabelImgs of cityscapesscripts',
    ('_annotations.txt',): 'It is an export of Roboflow for YOLO Keras or YOLOv4 PyTorch, with one '
    'line per image in _annotations.txt: export it as COCO, or convert it',
    ('ground_truth', 'good'): 'It is MVTec AD, whose training images show no defects: copy images '
    'of test into images, and their masks from ground_truth into masks, under the same names',
    ('gt', 'gt.txt'): 'It is MOT, with boxes of tracks over frames: convert gt/gt.txt to COCO',
    ('metadata.jsonl',): f'It is an image folder of Hugging Face, with metadata.jsonl: {TO_COCO}',
}


def _json_files(root: Path) -> list[Path]:
    return sorted(p for p in first_files(root) if p.suffix == '.json')


def _json(root: Path) -> str:
    files = _json_files(root)
    found = next(filter(None, map(json_sign, files[:5])), '')
    return f'{files[0].relative_to(root).parent / "*.json"} {found}' if found else ''


def _unknown_json(root: Path) -> str:
    files = [file for file in _json_files(root) if '"images"' not in start_of(file)]  # not COCO
    if not (files and first_images(root)):
        return ''
    return f'It has JSON files of an unknown form, such as {files[0].relative_to(root)}: {TO_COCO}'


def _tables(root: Path) -> str:
    files = sorted(p for p in first_files(root) if p.suffix.lower() == '.csv')
    for file in files[:5]:
        start = start_of(file).lower()
        if file.name == '_classes.csv' and start.startswith('filename'):
            return (
                f'{file.relative_to(root)} says which classes each image shows, but not where: '
                'nothing here learns that. Export boxes or masks instead'
            )
        what = next((w for signs, w in CSV_SIGNS.items() if all(s in start for s in signs)), '')
        if what:
            return f'{file.name} is a table of {what}: {TO_COCO}'
    if not files:
        return ''
    columns = start_of(files[0]).lstrip('\ufeff').partition('\n')[0].strip()
    return (
        f'{files[0].name} is a table with the columns {columns[:80]!r}: call those of image, class '
        f'and corners filename, class, xmin, ymin, xmax and ymax, or {TO_COCO}'
    )


def _others(root: Path) -> str:
    suffixes = {p.suffix.lower() for p in first_files(root)}
    if suffixes & {'.tfrecord', '.record', '.parquet', '.arrow'}:
        return f'It has TensorFlow records or Hugging Face tables: {TO_COCO}'
    if suffixes & {'.ndjson', '.jsonl'}:
        return 'It has NDJSON files, as of Labelbox or Ultralytics: export as COCO or YOLO'
    if not suffixes & set(SUFFIXES):
        other = f', only {", ".join(sorted(filter(None, suffixes))[:6])}' if suffixes else ''
        return f'It has no images with the suffixes {", ".join(SUFFIXES)}{other}'
    return ''


def _brush(root: Path) -> str:
    if any(BRUSH.match(path.name) for path in first_files(root)):
        return (
            'It has brush masks from Label Studio, whose names do not identify the image: export '
            'the brush labels to COCO'
        )
    return ''


def _classified(root: Path) -> str:
    folders = {path.parent for path in first_images(root)} - {root}
    named = {folder for folder in folders if not split_of(folder.name)}
    beside = Counter(folder.parent for folder in named)
    classes = dict.fromkeys(f.name for f in sorted(named) if beside[f.parent] > 1)
    if not classes:
        return ''
    return (
        f'It has images in folders of the classes that they show ({listed(classes)}), which do '
        'not say where: nothing here learns that. Draw boxes or masks in an annotation program'
    )


LOOKS: tuple[Callable[[Path], str], ...] = (
    *(known_set, _brush, _json, _yolo_apart, _unknown_texts, masks_apart, _tables),
    _unknown_json,
    *(_others, _classified),
)


def other_images(folders: set[Path]) -> Iterator[Path]:
    """Yield image files in these folders whose format is ignored."""
    for folder in sorted(folders):
        yield from (p for p in directly_in(folder) if p.suffix.lower() in PASSED_OVER)


PASSED_OVER = (
    *('.heic', '.heif', '.avif', '.gif', '.jxl', '.jp2', '.jpe', '.svg', '.psd', '.pdf'),
    *('.raw', '.cr2', '.cr3', '.nef', '.arw', '.dng', '.exr', '.hdr', '.pgm', '.ppm'),
    *('.dcm', '.nii', '.mp4', '.mov', '.avi'),
)
