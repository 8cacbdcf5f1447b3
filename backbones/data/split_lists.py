"""Dividing a folder by the text files that list its images, such as train.txt and val.txt."""

from pathlib import Path

from backbones.data.dataset import SPLITS, Dataset
from backbones.data.listing import SUFFIXES, read_lines
from backbones.data.splits import part_of_split

FOLDERS = ('.', 'ImageSets/Segmentation', 'ImageSets/Main', 'splits')
MATCH = 0.5  # of the lines, which have to name images


def divide_by_lists(dataset: Dataset) -> None:
    """Divide a dataset that has only a training split, if lists say which images validate.

    Without a list of training images, these are all others.
    """
    if [*dataset.splits] != ['train']:
        return
    whole = dataset.splits['train']
    paths = {path.relative_to(whole.images).with_suffix('').as_posix(): path
             for path in whole.paths() if path.is_relative_to(whole.images)}  # fmt: skip
    by_name = {name.rpartition('/')[2]: path for name, path in paths.items()}
    if len(by_name) < len(paths):
        return  # names alone do not tell
    for folder in FOLDERS:
        lists = {split: _listed(dataset.root / folder, split, by_name) for split in SPLITS}
        if not lists['val']:
            continue
        others = {*lists['val'], *lists['test']}
        lists['train'] = lists['train'] or [p for p in paths.values() if p not in others]
        dataset.splits = {name: part_of_split(whole, name, some)
                          for name, some in lists.items() if some}  # fmt: skip
        left = len(paths) - len({path for some in lists.values() for path in some})
        left_out = f'; {left} images are in none of them and left out' if left else ''
        dataset.notes.append(f'divided by the lists in {dataset.root / folder}{left_out}')
        return


def _listed(folder: Path, split: str, by_name: dict[str, Path]) -> list[Path]:
    """Return the images that a split's text file lists, none if it lists something else."""
    for word in SPLITS[split]:
        file = folder / f'{word}.txt'
        lines = read_lines(file) if file.is_file() else []
        names = [line.replace('\\', '/').rpartition('/')[2] for line in lines]
        found = [by_name[stem] for name in names if (stem := _stem(name)) in by_name]
        if found and len(found) >= MATCH * len(lines):
            return list(dict.fromkeys(found))
    return []


def _stem(name: str) -> str:
    """Return a name without the suffix of an image; other dots belong to the name."""
    return name.rpartition('.')[0] if Path(name).suffix.lower() in SUFFIXES else name
