"""Reading CreateML: a JSON list of images, with boxes given by their centres."""

from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults
from backbones.data.files.image_finder import ImageFinder
from backbones.data.files.listing import shallow, start_of
from backbones.data.files.numbers import is_number
from backbones.data.layouts import shapes
from backbones.data.layouts.coco import split_of_file
from backbones.data.layouts.collected import Collected
from backbones.data.layouts.json_files import content_of


def find(root: Path) -> list[Path]:
    """Return CreateML's files in a folder or directly below it."""
    return list(filter(_is_createml, shallow(root, '.json')))


def _is_createml(file: Path) -> bool:
    """Return whether a JSON file is a list of images with CreateML's coordinates."""
    start = start_of(file)
    return start.lstrip().startswith('[') and '"annotations"' in start and '"coordinates"' in start


def read(root: Path, files: list[Path], faults: Faults) -> tuple[list[Split], tuple[str, ...]]:
    """Read all files; a file's name or folder tells its split.

    Returns:
        Splits, and the labels that occur, sorted.
    """
    entries = {file: _load(file, faults) for file in files}
    boxes = [b for some in entries.values() for entry in some for b in entry['annotations']]
    labels = {b['label'] for b in boxes if isinstance(b.get('label'), str) and b['label']}
    classes = tuple(sorted(labels))
    finder = ImageFinder(root)
    collected = Collected(root, classes)
    for file, some in entries.items():
        _, records = collected.of(split_of_file(root, file) or 'train', file)
        for entry in some:
            path = finder.find(entry['image'], [file.parent])
            if path is None:
                kind, which = finder.lost(entry['image'])
                faults.add(kind, file, which, total=len(some))
                continue
            number = records.add_image(path.relative_to(root).as_posix())
            for found in entry['annotations']:
                place, label = found.get('coordinates'), found.get('label')
                said = [place.get(k) for k in SIDES] if isinstance(place, dict) else []
                values = [value for value in said if is_number(value)]
                if label not in classes or len(values) < len(SIDES):
                    faults.add('broken-shape', file, f'{entry["image"]}: {str(found)[:60]}')
                    continue
                x, y, w, h = values
                records.add(number, label, shapes.box(x - w / 2, y - h / 2, w, h))
    return collected.splits(), classes


SIDES = ('x', 'y', 'width', 'height')


def _load(file: Path, faults: Faults) -> list[dict]:
    content = content_of(file, faults) or []
    for entry in content:
        if not _is_image(entry):
            faults.add('wrong-structure', file, f'{str(entry)[:60]}')
    return list(filter(_is_image, content))


def _is_image(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get('image'), str)
        and isinstance(entry.get('annotations'), list)
        and all(isinstance(box, dict) for box in entry['annotations'])
    )
