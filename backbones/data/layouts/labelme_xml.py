"""Reading LabelMe of MIT, which CVAT exports, too: an XML file of shapes per image."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from PIL import Image

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.images import DAMAGED
from backbones.data.files.listing import list_files, start_of
from backbones.data.files.numbers import size_of
from backbones.data.files.split_names import split_of
from backbones.data.layouts import shapes
from backbones.data.layouts.collected import Collected
from backbones.data.layouts.voc_images import Images
from backbones.data.layouts.xml_files import root_of, texts_in

LOOKED_AT = 20  # XML files to look at; all must be LabelMe's
BOX = 'bounding_box'  # the type of a polygon that stands for a box


def find(root: Path) -> list[Path]:
    """Return the XML files of a folder and below, if they are LabelMe's."""
    files = list_files(root, ('.xml',))
    return files if files and all(map(is_labelme, files[:LOOKED_AT])) else []


def is_labelme(file: Path) -> bool:
    """Return whether an XML file is LabelMe's <annotation>, not that of Pascal VOC."""
    start = start_of(file)
    return '<annotation>' in start and '<bndbox>' not in start and (
        '<sourceImage' in start or '<deleted>' in start)  # fmt: skip


def read(root: Path, files: list[Path], faults: Faults) -> tuple[list[Split], tuple[str, ...]]:
    """Read all files; those below a folder `val` or `test` belong to that split.

    Polygons, and masks in `Masks`, become masks with boxes; polygons of the type `bounding_box`
    become boxes. Parts of an object count as objects.

    Returns:
        Splits, and the names that occur, sorted.
    """
    trees = {file: tree for file in files if (tree := root_of(file, faults)) is not None}
    objects = {file: [*_objects(tree)] for file, tree in trees.items()}
    classes = tuple(sorted({name for some in objects.values() for name, _ in some if name}))
    masks = any(obj.findtext('type') != BOX or obj.find('segm') is not None
                for some in objects.values() for _, obj in some)  # fmt: skip
    images, collected = Images(root, trees, faults), Collected(root, classes)
    for file, tree in trees.items():
        inside = file.relative_to(root).parent.parts
        split, records = collected.of(
            next(filter(None, map(split_of, inside)), 'train'), file.parent
        )
        here = images.of(file, *texts_in(tree, 'folder', 'filename'))
        if len(here) != 1:
            kind = 'ambiguous-image' if here else 'label-without-image'
            faults.add(kind, split.source, file.name)
            continue
        size = size_of(*texts_in(tree, 'imagesize/ncols', 'imagesize/nrows'))
        number = records.add_image(here[0].relative_to(root).as_posix(), size)
        for name, obj in objects[file]:
            where = f'{file.name}: object {obj.findtext("id", "")}'
            if not name:
                faults.add('unnamed-class', file.parent, where)
                continue
            try:
                made = _converted(obj, root, file)
            except (*DAMAGED, Image.DecompressionBombError) as error:
                faults.add('broken-shape', file.parent, f'{where}: {error}')
                continue
            if made is None:
                faults.add('shape-left-out', file.parent, where)
            else:
                records.add(number, name, made if masks else shapes.box(*made['bbox']))
    return collected.splits(), classes


def _objects(tree: Element) -> Iterator[tuple[str, Element]]:
    """Yield the objects that were not deleted, with their names."""
    for obj in tree.iter('object'):
        if (obj.findtext('deleted') or '').strip() in ('', '0'):
            yield (obj.findtext('name') or '').strip(), obj


def _converted(obj: Element, root: Path, file: Path) -> dict | None:
    """Return a shape in COCO's form; None for points and lines, which have no area."""
    if obj.find('segm') is not None:
        mask = _mask(_mask_file(obj, root, file))
        return shapes.encoded(mask, 0, 0, (mask.shape[1], mask.shape[0]))
    points = obj.findall('polygon/pt')
    flat = [float(point.findtext(axis, '')) for point in points for axis in 'xy']
    return shapes.outline(flat) if len(flat) >= 6 else None


def _mask_file(obj: Element, root: Path, file: Path) -> Path:
    """Return `Masks/FOLDER/NAME` for `Annotations/FOLDER/a.xml`, or `Masks/NAME` beside a.xml."""
    name = Path(obj.findtext('segm/mask', '')).name
    inside = file.parent.relative_to(root).parts
    tries = [root.joinpath(*inside, 'Masks', name), root.joinpath('Masks', *inside[1:], name)]
    return next(filter(Path.is_file, tries), tries[0])


def _mask(path: Path) -> np.ndarray:
    """Read a mask: (H, W), true where it is not black."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert('RGB') if image.mode == 'P' else image)
    return np.any(pixels[..., :3], axis=-1) if pixels.ndim == 3 else pixels.astype(bool)
