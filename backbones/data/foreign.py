"""Layouts of other programs that are not supported: what each is, and what to do."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from backbones.data.listing import SUFFIXES, directly_in, list_images, walk
from backbones.data.yolo_labels import has_object

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


def _yolo_without_names(root: Path) -> str:
    texts = (p for p in islice(walk(root), LOOKED_AT) if p.suffix == '.txt')
    if not any(has_object(path) for path in islice(texts, 20)):
        return ''
    return (
        'It has YOLO labels, but neither a data.yaml nor class names: write the names, one per '
        'line and class 0 first, into classes.txt in that folder'
    )


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
    *(_voc_masks, _known_sets, _json, _yolo_without_names, _mask_suffix, _others),
)


def other_images(folders: set[Path]) -> Iterator[Path]:
    """Yield image files in these folders whose format is ignored."""
    for folder in sorted(folders):
        yield from (p for p in directly_in(folder) if p.suffix.lower() in PASSED_OVER)


PASSED_OVER = (
    *('.heic', '.heif', '.avif', '.gif', '.jxl', '.jp2', '.jpe', '.jfif', '.svg', '.psd', '.pdf'),
    *('.raw', '.cr2', '.cr3', '.nef', '.arw', '.dng', '.exr', '.hdr', '.pgm', '.ppm'),
    *('.dcm', '.nii', '.mp4', '.mov', '.avi'),
)
