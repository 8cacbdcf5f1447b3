"""Joining the COCO files of one split, such as one per annotator, per class or per image."""

import os
from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.faults.faults import Faults

NAMED = 3  # files that a joined name lists


def join(parts: list[Split], root: Path, faults: Faults) -> Split:
    """Join the files of a split: ids are renumbered, and categories matched by name.

    Several files may annotate an image if each annotates different classes. If two
    annotate the same class on it, or give it different sizes, they contradict each other.

    Args:
        parts: one for each file.

    Returns:
        A split with a file of its own; images are relative to `root` if the folders differ.
    """
    folder = parts[0].images if len({part.images for part in parts}) == 1 else root
    joined = _Joined(folder, faults)
    for part in parts:
        joined.add(part)
    names = [part.source.name for part in parts[:NAMED]]
    more = f'{names[0]} and {len(parts) - 1} more.json'
    name = ' + '.join(names) if len(parts) <= NAMED else more
    return Split(parts[0].name, parts[0].source.with_name(name), folder, own_file=True,
                 records=dict(images=joined.images, annotations=joined.annotations,
                              categories=joined.categories))  # fmt: skip


class _Joined:
    def __init__(self, folder: Path, faults: Faults) -> None:
        self.folder, self.faults = folder, faults
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.categories: list[dict] = []
        self.image_of: dict[str, tuple[dict, Path]] = {}  # by name: the entry, and its file
        self.id_of: dict[object, int] = {}  # the id of a category, by name
        self.owner: dict[tuple[int, object], Path] = {}  # which file annotates a class on an image

    def add(self, part: Split) -> None:
        kinds = {c.get('id'): self._category(c) for c in part.records['categories']}
        images = {e.get('id'): self._image(e, part) for e in part.records['images']}
        for annotation in part.records['annotations']:
            image, kind = annotation.get('image_id'), annotation.get('category_id')
            new = dict(annotation, id=len(self.annotations) + 1)
            new |= {} if kind not in kinds else dict(category_id=kinds[kind])
            if image in images:
                new['image_id'] = images[image]
                self._own(images[image], new.get('category_id'), part)
            else:  # no image here has this id, but one in another file may
                new['image_id'] = f'{image} of {part.source.name}'
            self.annotations.append(new)

    def _own(self, image: int, kind: object, part: Split) -> None:
        owner = self.owner.setdefault((image, kind), part.source)
        if owner != part.source:
            name = self.images[image - 1]['file_name']  # ids count from 1
            example = f'{owner} and {part.source} both annotate {name}'
            self.faults.add('files-conflict', part.source.parent, example)

    def _category(self, category: dict) -> int:
        number = self.id_of.setdefault(category.get('name'), len(self.id_of) + 1)
        if number > len(self.categories):
            self.categories.append(dict(category, id=number))
        return number

    def _image(self, entry: dict, part: Split) -> int:
        if not isinstance(entry.get('file_name'), str):  # the check reports this
            self.images.append(dict(entry, id=len(self.images) + 1))
            return len(self.images)
        name = os.path.relpath(part.images / entry['file_name'], self.folder)
        known, file = self.image_of.get(name, (None, part.source))
        if known is None:
            known = dict(entry, id=len(self.images) + 1, file_name=name)
            self.images.append(known)
            self.image_of[name] = known, part.source
        elif any(known.get(side) != entry.get(side) for side in ('width', 'height')):
            example = f'{file} and {part.source} give {name} different sizes'
            self.faults.add('files-conflict', part.source.parent, example)
        return known['id']
