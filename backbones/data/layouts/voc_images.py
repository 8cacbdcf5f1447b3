"""Finding the image of a Pascal VOC file: by its folder, never by its name alone."""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

from backbones.data.faults.faults import Faults
from backbones.data.files.image_finder import alike
from backbones.data.files.listing import SUFFIXES, grouped, list_images, visible

LABELS = ('annotations', 'annotation', 'xmls', 'xml', 'labels')  # folders of XML files
IMAGES = ('JPEGImages', 'images', 'Images', 'imgs', 'img', 'image', 'jpegimages')


class Images:
    """The images of a dataset.

    Args:
        root: the dataset's folder.
        files: the dataset's XML files.
        faults: receives images that are spelled differently than their files; see `alike`.
    """

    def __init__(self, root: Path, files: Iterable[Path], faults: Faults) -> None:
        self.root, self.faults = root, faults
        self.stems = {file.stem for file in files}

    def of(self, file: Path, folder: str, filename: str) -> list[Path]:
        """Return the images that an XML file may mean: one, none, or several in conflict.

        `Annotations/X/a.xml` belongs to `JPEGImages/X/a.*` or `images/X/a.*`; otherwise to the file
        beside it, or to the `FOLDER/FILENAME` that it names. If none of these exists, it belongs to
        the only image of that name in the whole dataset, perhaps spelled differently.

        Args:
            file: the XML file.
            folder, filename: the image's folder and name in that file, '' if missing.
        """
        name = Path(filename.replace('\\', '/')).name
        places = [*self._places(file), file.parent]
        for place in places:
            if found := self._in(place, file.stem, name):
                return found
        parents = [self.root, *(p for p in file.parents if p.is_relative_to(self.root))]
        if name and folder and '..' not in Path(folder).parts and not Path(folder).is_absolute():
            for parent in parents:
                if (parent / folder / name).is_file():
                    return [parent / folder / name]
        stems = (file.stem, Path(name).stem) if name else (file.stem,)
        if stem := next((stem for stem in stems if stem in self._all), ''):
            there = self._all[stem]
            return [path for path in there if path.parent == self._whole] or there
        there = next(filter(None, (self._alike.get(alike(stem)) for stem in stems)), [])
        found = [path for path in there if path.stem not in self.stems]
        for path in found:
            self.faults.add('image-elsewhere', file.parent, f'{file.name} is of {path.name}')
        return found

    def _places(self, file: Path) -> Iterator[Path]:
        """Yield the image folders beside an XML file's folder."""
        parts = file.parent.relative_to(self.root).parts
        for i in reversed(range(len(parts))):
            if parts[i].lower() in LABELS:
                for images in IMAGES:
                    yield self.root.joinpath(*parts[:i], images, *parts[i + 1 :])

    def _in(self, folder: Path, stem: str, name: str) -> list[Path]:
        """Find images in a folder by the XML file's name, or by the name in the file."""
        here = self._names(folder)
        by_stem = here.get(stem, [])
        said = [path for path in here.get(Path(name).stem, []) if path.name == name]
        if said and (not by_stem or said[0] in by_stem):
            return said  # if there are a.jpg and a.png, the named one
        return [*by_stem, *said] or (here.get(Path(name).stem, []) if name else [])

    @functools.lru_cache(maxsize=1000)  # noqa: B019, lives for one reading
    def _names(self, folder: Path) -> dict[str, list[Path]]:
        there = sorted(visible(folder.iterdir())) if folder.is_dir() else ()
        images = (path for path in there if path.suffix.lower() in SUFFIXES)
        return grouped(images, lambda path: path.stem)

    @functools.cached_property
    def _all(self) -> dict[str, list[Path]]:
        return grouped(list_images(self.root), lambda path: path.stem)

    @functools.cached_property
    def _whole(self) -> Path | None:
        """The only folder that has an image for every XML file, as train_images beside others."""
        every = (path for paths in self._all.values() for path in paths)
        folders = grouped(every, lambda path: str(path.parent))
        whole = [f for f, paths in folders.items() if self.stems <= {path.stem for path in paths}]
        return Path(whole[0]) if len(whole) == 1 else None

    @functools.cached_property
    def _alike(self) -> dict[str, list[Path]]:
        every = (path for paths in self._all.values() for path in paths)
        return grouped(every, lambda path: alike(path.stem))
