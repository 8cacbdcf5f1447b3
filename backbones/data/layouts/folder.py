"""Detecting a folder's layout, and reading it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbones.data.dataset import Dataset, Split
from backbones.data.faults.faults import Faults
from backbones.data.files.split_names import SPLITS
from backbones.data.layouts import (
    box_tables,
    coco,
    createml,
    cvat,
    instance_maps,
    labelme,
    labelme_xml,
    mask_files,
    mask_folders,
    via,
    voc,
    voc_masks,
    voc_objects,
    yolo,
    yolo_settings,
)
from backbones.data.layouts.class_names import name_classes
from backbones.data.layouts.foreign import describe, known_set
from backbones.data.layouts.nested import follow, part_of
from backbones.data.layouts.split_lists import divide_by_lists
from backbones.data.layouts.turned_boxes import turn_boxes
from backbones.errors import MissingFileError, UserError


@dataclass(frozen=True)
class Options:
    """How a folder is read.

    Args:
        layout: a key of `LAYOUTS`; None detects it.
        classes: class names in order; () takes them from the data.
        ignore: values or names of label maps that are neither learnt nor counted.
        enclosing_boxes: use upright boxes around rotated ones.
        wants: 'boxes', 'masks' (of instances) or 'label maps', if the folder holds several; None
            prefers what was drawn by hand.
        decode: see `check_dataset`.
        progress: show a progress bar on stderr.
    """

    layout: str | None = None
    classes: Sequence[str] = ()
    ignore: Sequence[str] = ()
    enclosing_boxes: bool = False
    wants: str | None = None
    decode: bool = False
    progress: bool = False


Read = Callable[[Path, Any, Faults, Options], tuple[list[Split], tuple[str, ...]]]


@dataclass(frozen=True)
class Layout:
    """A layout that can be read.

    Args:
        find: returns what it finds in a folder, or something falsy if the layout is another.
        read: returns splits, and class names in order if the data contain them.
        holds: what such a folder holds; see `Options.wants`.
        asked: whether to read it only if `Options.layout` names it.
        last: whether to read it only if a folder has no other layout, which it would repeat.
    """

    find: Callable[[Path], Any]
    read: Read
    holds: tuple[str, ...] = ('boxes', 'masks')
    asked: bool = False
    last: bool = False


def _read_yolo(root: Path, there: Path, faults: Faults, options: Options) -> Any:
    return yolo.read(root, there, faults, decode=options.decode, progress=options.progress,
                     enclosing_boxes=options.enclosing_boxes, given=options.classes)  # fmt: skip


def _with_classes(read: Callable) -> Read:
    return lambda root, there, faults, options: read(root, there, faults, classes=options.classes)


def _of_one_class(read: Callable) -> Read:
    return lambda root, there, faults, options: read(
        root, there, faults, classes=options.classes, progress=options.progress
    )


def _with_boxes(read: Callable) -> Read:
    return lambda root, there, faults, options: read(
        root, there, faults, enclosing_boxes=options.enclosing_boxes
    )


def _without_options(read: Callable) -> Read:
    return lambda root, there, faults, options: read(root, there, faults)


MAPS = ('label maps',)
LAYOUTS = {
    'coco': Layout(coco.find, _without_options(coco.read)),
    'yolo': Layout(yolo.find, _read_yolo),
    'voc': Layout(voc.find, _without_options(voc.read), ('boxes',)),
    'voc-masks': Layout(voc_masks.find, _without_options(voc_masks.read), MAPS),
    'voc-objects': Layout(voc_objects.find, _without_options(voc_objects.read), ('masks', 'boxes')),
    'labelme': Layout(labelme.find, _with_boxes(labelme.read)),
    'labelme-xml': Layout(labelme_xml.find, _without_options(labelme_xml.read)),
    'cvat': Layout(cvat.find, _without_options(cvat.read)),
    'createml': Layout(createml.find, _without_options(createml.read), ('boxes',)),
    'via': Layout(via.find, _with_classes(via.read)),
    'masks': Layout(mask_folders.find, _without_options(mask_folders.read), MAPS),
    'mask-files': Layout(mask_files.find, _of_one_class(mask_files.read), ('masks', 'boxes')),
    'csv': Layout(box_tables.find, _with_classes(box_tables.read), ('boxes',), last=True),
    'instance-maps': Layout(
        instance_maps.find, _of_one_class(instance_maps.read), ('masks', 'boxes'), asked=True
    ),
}
EXPECTED = """
  COCO        annotations/train.json, annotations/val.json and folders of images, or
              train/*.json and val/*.json beside their images
  YOLO        data.yaml that names classes and folders, images/... and labels/...
  Pascal VOC  Annotations/*.xml, JPEGImages/*, ImageSets/Main/{train,val}.txt, or
              train/*.xml and val/*.xml beside their images
  label maps  images/{train,val}/* and masks/{train,val}/*.png of the same names, and the class
              names in classes.txt, one per line
  and the exports of annotation programs that docs/own_data.md lists"""


def read_folder(root: Path, faults: Faults, options: Options = Options()) -> Dataset:
    """Read a dataset of any known layout.

    Args:
        faults: receives what cannot be read.

    Raises:
        MissingFileError: the folder does not exist.
        UserError: it has no known layout, or several; or `classes` contradicts the names in the
            data.
    """
    if not root.is_dir():
        raise MissingFileError(f'{root} is not a folder')
    notes: list[str] = []
    found = _find(root, options.layout)
    if not found:
        known = known_set(root)
        inside = None if known else follow(root, lambda f: bool(_find(f, options.layout)))
        if inside:
            notes.append(f'{root} itself holds no dataset, so the one in {inside} is used')
            root, found = inside, _find(inside, options.layout)
        elif (
            not known
            and options.layout in (None, 'masks')
            and (pairs := mask_folders.find_similar(root))
        ):
            notes += [f'judging by names, {pair.labels} has the label maps of {pair.images}'
                      for pair in pairs.values()]  # fmt: skip
            found = {'masks': pairs}
        else:
            raise UserError(
                f'{root} holds no dataset that can be read.{yolo_settings.hint(root)}'
                f'{describe(root) or part_of(root)} '
                f'Expected one of:{EXPECTED}'
            )
    name, others = _choose(root, found, options.wants)
    if others:
        notes.append(f'the folder is read as {name}; it also holds {", ".join(others)}: '
                     f'to read that, pass --layout {others[0]}')  # fmt: skip
    splits, in_data = LAYOUTS[name].read(root, found[name], faults, options)
    for split in splits:
        turn_boxes(split, faults, enclosing=options.enclosing_boxes)
    dataset = Dataset(name, root, {}, detection=LAYOUTS[name].holds != MAPS, notes=notes)
    name_classes(dataset, splits, in_data, options.classes, options.ignore, faults)
    splits.sort(key=lambda split: list(SPLITS).index(split.name))
    dataset.splits = {split.name: split for split in _annotated(splits, faults)}
    divide_by_lists(dataset, faults)
    return dataset


def _find(root: Path, layout: str | None) -> dict[str, Any]:
    return _find_named(root, layout) or _find_unnamed(root, layout)


def _find_named(root: Path, layout: str | None) -> dict[str, Any]:
    tried = [[layout]] if layout else [
        [name for name, one in LAYOUTS.items() if not one.asked and one.last == last]
        for last in (False, True)
    ]  # fmt: skip
    found = ({name: there for name in names if (there := LAYOUTS[name].find(root))}
             for names in tried)  # fmt: skip
    return next(filter(None, found), {})


def _find_unnamed(root: Path, layout: str | None) -> dict[str, Any]:
    """Return YOLO's labels without class names, which is read only if there is nothing else.

    Raises:
        UserError: a folder inside holds a dataset with names.
    """
    there = None if layout not in (None, 'yolo') or known_set(root) else yolo.find_unnamed(root)
    if there and layout is None and (named := follow(root, lambda f: bool(_find_named(f, None)))):
        raise UserError(
            f'{root} has YOLO labels without class names, but {named} inside it holds a dataset '
            'with names: give that folder, or pass --layout yolo to read all labels by number'
        )
    return {'yolo': there} if there else {}


def _choose(root: Path, found: dict[str, Any], wants: str | None) -> tuple[str, list[str]]:
    """Return the layout to read, and the others in the folder that hold something else.

    Pascal VOC has boxes, label maps and instance masks in one folder.

    Raises:
        UserError: several layouts hold the same.
    """
    if wants is None:
        # boxes come before label maps, and both before what is derived from label maps
        ranks = {name: int(LAYOUTS[name].holds == MAPS) for name in found}
        ranks |= {'voc-objects': 2}
    else:
        ranks = {name: [*LAYOUTS[name].holds, wants].index(wants) if wants in LAYOUTS[name].holds
                 else len(LAYOUTS) for name in found}  # fmt: skip
    best = min(ranks[name] for name in found)
    names = [name for name in found if ranks[name] == best]
    if len(names) > 1:
        raise UserError(
            f'{root} holds several layouts: {", ".join(names)}; choose one with --layout NAME'
        )
    return names[0], [name for name in found if name not in names]


def _annotated(splits: list[Split], faults: Faults) -> list[Split]:
    """Leave out a test split without annotations, on which nothing can be measured."""
    kept = []
    for split in splits:
        annotated = split.pairs or split.records.get('annotations')
        if split.name == 'test' and not annotated and len(splits) > 1:
            faults.add('test-unannotated', split.source, f'{len(split.paths())} images')
        else:
            kept.append(split)
    return kept
