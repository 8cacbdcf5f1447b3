"""Layouts of other programs that are not supported: what each is, and what to do."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from backbones.data.listing import SUFFIXES, directly_in, list_images, walk

LOOKED_AT = 2000  # files of a folder
HEAD = 1 << 16  # characters of a JSON file that are searched

# signs in a JSON file, in the order of the search: the program, and what to do
JSON_SIGNS: dict[tuple[str, ...], str] = {
    ('"shapes"',): 'look like LabelMe files: convert them to COCO',
    ('"regions"',): 'look like files of the VGG annotator: export them as COCO',
    ('"visitedAssetIDs"',): 'look like VoTT files: export them as Pascal VOC',
    ('"asset"', '"regions"'): 'look like VoTT files: export them as Pascal VOC',
    ('"annotations"', '"coordinates"'): 'look like CreateML files: convert them to COCO',
    ('"objects"', '"size"'): 'look like Supervisely files, one per image: export them as COCO',
    ('"image":', '"annotations"'): 'hold one image each, as in SA-1B: merge them into one COCO '
    'file per split',
    ('"completions"',): "look like Label Studio's own JSON: export as COCO or YOLO",
    ('"from_name"',): "look like Label Studio's own JSON: export as COCO or YOLO",
    ('"frames"', '"labels"'): 'look like BDD100K files: convert them to COCO',
    ('"imgHeight"', '"objects"'): 'look like Cityscapes polygons: use the configs for Cityscapes',
}


def describe(root: Path) -> str:
    """Describe in a sentence what a folder's files look like, '' if they are unknown."""
    for look in LOOKS:
        if said := look(root):
            return f' {said}.'
    return ''


def json_sign(file: Path) -> str:
    """Describe what a JSON file other than COCO's looks like, '' if it is unknown."""
    try:
        with file.open(encoding='utf-8', errors='replace') as opened:
            start = opened.read(HEAD)
    except OSError:
        return ''
    if '"images"' in start and ('"categories"' in start or '"file_name"' in start):
        return ''  # COCO
    found = (said for signs, said in JSON_SIGNS.items() if all(s in start for s in signs))
    return next(found, '')


def _darknet(root: Path) -> str:
    if not list(root.glob('*.data')) and not (root / 'obj.names').is_file():
        return ''
    names = root / 'obj.names'
    listed = names.read_text(errors='replace').split('\n') if names.is_file() else []
    names_line = json.dumps([name.strip() for name in listed if name.strip()], ensure_ascii=False)
    train = 'obj_train_data' if (root / 'obj_train_data').is_dir() else 'FOLDER'
    val = next((n for n in ('obj_valid_data', 'obj_val_data') if (root / n).is_dir()), 'FOLDER')
    return (
        'It is Darknet\'s YOLO layout, CVAT\'s "YOLO 1.1": write a data.yaml beside it with the '
        f'lines "train: {train}", "val: {val}" and "names: {names_line or "[...]"}"'
    )


def _yolo_without_yaml(root: Path) -> str:
    texts = [p for p in islice(walk(root), LOOKED_AT) if p.suffix == '.txt']
    if not any(_is_yolo(path) for path in texts[:20]):
        return ''
    names = next((p.relative_to(root) for p in texts if p.name == 'classes.txt'), None)
    where = f'; {names} has the names' if names else ''
    return (
        'It has YOLO labels, as LabelImg and Label Studio write them, but no data.yaml: '
        f'write one with the lines "train: FOLDER", "val: FOLDER" and "names: [...]"{where}'
    )


def _is_yolo(path: Path) -> bool:
    try:
        words = path.read_text(errors='replace')[:200].split()
        return len(words) >= 5 and words[0].isdecimal() and bool([*map(float, words[1:5])])
    except (OSError, ValueError):
        return False


def _voc_masks(root: Path) -> str:
    if not (root / 'SegmentationClass').is_dir():
        return ''
    by = ' by the colours in labelmap.txt' if (root / 'labelmap.txt').is_file() else ''
    return (
        'It is Pascal VOC segmentation, CVAT\'s "Segmentation mask 1.1": convert the colours of '
        f'SegmentationClass to class numbers{by}, and save them as single-channel '
        'masks/{train,val}/NAME.png beside images/{train,val}/NAME.jpg, split by '
        'ImageSets/Segmentation'
    )


def _known_sets(root: Path) -> str:
    here = {p.name for p in root.iterdir() if p.is_dir()}
    if {'leftImg8bit', 'gtFine'} <= here:
        return 'It is Cityscapes: use a config for it, such as upernet_*_cityscapes'
    if 'labelTxt' in here:
        return 'It is DOTA, with rotated boxes, which no model here learns: convert them to COCO'
    if {'train', 'val', 'trainannot', 'valannot'} <= here:
        return (
            'It is CamVid: rename train and trainannot to images/train and masks/train, likewise '
            'val and valannot, and write the class names into classes.txt'
        )
    return ''


def _flat_masks(root: Path) -> str:
    here = {p.name.lower(): p for p in root.iterdir() if p.is_dir()}
    images = next((here[n] for n in ('images', 'imgs', 'img', 'image') if n in here), None)
    masks = next((here[n] for n in ('masks', 'labels', 'mask', 'annotations') if n in here), None)
    if images is None or masks is None or not list_images(masks):
        return ''
    return (
        f'It has images in {images.name} and label maps in {masks.name}, but no splits: move '
        f'them into {images.name}/train, {images.name}/val, {masks.name}/train and '
        f'{masks.name}/val'
    )


def _mask_suffix(root: Path) -> str:
    names = {p.stem for p in list_images(root)[:LOOKED_AT]}
    for end in ('_mask', '_label', '_labels', '_gt', '_seg', '-mask'):
        if any(f'{name}{end}' in names for name in names):
            return (
                f'It has label maps called NAME{end} beside the images: move them to '
                'masks/{train,val} under the names of their images in images/{train,val}'
            )
    return ''


def _json(root: Path) -> str:
    files = [p for p in islice(walk(root), LOOKED_AT) if p.suffix == '.json']
    found = next(filter(None, map(json_sign, sorted(files)[:5])), '')
    return f'{files[0].relative_to(root).parent / "*.json"} {found}' if found else ''


def _others(root: Path) -> str:
    suffixes = {p.suffix.lower() for p in islice(walk(root), LOOKED_AT)}
    if '.csv' in suffixes:
        return 'It has CSV files: convert them to COCO'
    if suffixes & {'.tfrecord', '.record', '.parquet', '.arrow'}:
        return 'It has TensorFlow records or Hugging Face tables: convert them to COCO'
    if not suffixes & set(SUFFIXES):
        other = f', only {", ".join(sorted(filter(None, suffixes))[:6])}' if suffixes else ''
        return f'It has no images with the suffixes {", ".join(SUFFIXES)}{other}'
    return ''


LOOKS: tuple[Callable[[Path], str], ...] = (
    *(_darknet, _voc_masks, _known_sets, _json, _yolo_without_yaml, _mask_suffix, _flat_masks),
    _others,
)


def other_images(folders: set[Path]) -> Iterator[Path]:
    """Yield image files in these folders whose format is ignored."""
    for folder in sorted(folders):
        yield from (p for p in directly_in(folder) if p.suffix.lower() in PASSED_OVER)


PASSED_OVER = (
    *('.heic', '.heif', '.avif', '.gif', '.jxl', '.jp2', '.jpe', '.jfif', '.svg', '.psd', '.pdf'),
    *('.raw', '.cr2', '.cr3', '.nef', '.arw', '.dng', '.exr', '.hdr', '.pgm', '.ppm', '.npy'),
    *('.dcm', '.nii', '.mp4', '.mov', '.avi'),
)
