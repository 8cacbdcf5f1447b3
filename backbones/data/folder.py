"""Finding out the layout of a folder, and reading it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from backbones.data import coco, mask_folders, voc, yolo
from backbones.data.dataset import SPLITS, Dataset, Split
from backbones.data.faults import Faults
from backbones.data.foreign import describe
from backbones.errors import MissingFileError, UserError

LAYOUTS: dict[str, Callable] = {
    'coco': coco.find,
    'yolo': yolo.find,
    'voc': voc.find,
    'masks': mask_folders.find,
}
EXPECTED = """
  COCO        annotations/train.json, annotations/val.json and folders of images, or
              train/*.json and val/*.json beside their images
  YOLO        data.yaml that names classes and folders, images/... and labels/...
  Pascal VOC  Annotations/*.xml, JPEGImages/*, ImageSets/Main/{train,val}.txt, or
              train/*.xml and val/*.xml beside their images
  label maps  images/{train,val}/* and masks/{train,val}/*.png of the same names, and the class
              names in classes.txt, one per line"""


def read_folder(
    root: Path,
    faults: Faults,
    *,
    layout: str | None = None,
    classes: Sequence[str] = (),
    decode: bool = False,
    progress: bool = False,
) -> Dataset:
    """Read a dataset of any known layout.

    Args:
        faults: receives what cannot be read.
        layout: 'coco', 'yolo', 'voc' or 'masks'; None detects it.
        classes: class names in their order; () takes them from the data.
        decode: see `check_dataset`.
        progress: show a progress bar on stderr.

    Raises:
        MissingFileError: the folder does not exist.
        UserError: it has no known layout, or several; or `classes` contradicts `classes.txt`.
    """
    if not root.is_dir():
        raise MissingFileError(f'{root} is not a folder')
    tried = [layout] if layout else list(LAYOUTS)
    found = {name: there for name in tried if (there := LAYOUTS[name](root))}
    if not found:
        raise UserError(
            f'{root} holds no dataset that can be read.{yolo.hint(root)}{describe(root)} '
            f'Expected one of:{EXPECTED}'
        )
    if len(found) > 1:
        raise UserError(
            f'{root} holds several layouts: {", ".join(found)}; choose one with --layout NAME'
        )
    ((layout, there),) = found.items()
    splits: list[Split]
    in_data: tuple[str, ...] = ()
    if layout == 'coco':
        splits = coco.read(root, there, faults)
        in_data = _categories(splits)
    elif layout == 'yolo':
        splits, in_data = yolo.read(root, there, faults, decode=decode, progress=progress)
    elif layout == 'voc':
        splits, in_data = voc.read(root, there, faults)
    else:
        splits = mask_folders.read(there, faults)
    listed = () if layout in ('coco', 'yolo') else _named(root, Faults() if classes else faults)
    if layout == 'masks' and sorted(classes) == sorted(listed) and tuple(classes) != listed:
        raise UserError(  # the order of the names gives the pixel values
            f'--classes is {", ".join(classes)}, but {root / "classes.txt"} has '
            f'{", ".join(listed)}: is label 0 {classes[0]!r} or {listed[0]!r}? Leave '
            '--classes out, or correct the file'
        )
    named = tuple(classes) or listed or in_data
    splits.sort(key=lambda split: list(SPLITS).index(split.name))
    return Dataset(layout, root, {split.name: split for split in splits}, named)


def _named(root: Path, faults: Faults) -> tuple[str, ...]:
    file = root / 'classes.txt'
    try:
        lines = file.read_text(encoding='utf-8-sig').splitlines() if file.is_file() else []
    except UnicodeDecodeError as error:
        faults.add('broken-file', file, f'{error}; save it as UTF-8')
        return ()
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    for number, name in enumerate(names, 1):
        if not name:
            faults.add('unnamed-class', file, f'line {number} is blank')
    return tuple(filter(None, names))


def _categories(splits: list[Split]) -> tuple[str, ...]:
    """Return the names of the training split's categories, in the order of the file."""
    by_name = {split.name: split for split in splits}
    train = by_name.get('train') or splits[0]
    names = [str(c['name']) for c in train.records['categories'] if c.get('name')]
    return tuple(dict.fromkeys(names))
