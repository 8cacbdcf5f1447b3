"""Dividing a folder by text files that list its images, such as train.txt and val.txt."""

from pathlib import Path

from backbones.data.dataset import Dataset
from backbones.data.faults.faults import Faults
from backbones.data.files.listing import SUFFIXES, read_lines
from backbones.data.files.split_names import SPLITS
from backbones.data.splits import part_of_split

FOLDERS = ('.', 'ImageSets/Segmentation', 'ImageSets/Main', 'splits')
MATCH = 0.5  # share of the lines that must name images


def divide_by_lists(dataset: Dataset, faults: Faults) -> None:
    """Divide a dataset that has only a training split, if a list names validation images.

    Without a list of training images, all other images are for training.
    """
    if [*dataset.splits] != ['train']:
        return
    whole = dataset.splits['train']
    paths = {path.relative_to(whole.images).with_suffix('').as_posix(): path
             for path in whole.paths() if path.is_relative_to(whole.images)}  # fmt: skip
    by_name = {name.rpartition('/')[2]: path for name, path in paths.items()}
    if len(by_name) < len(paths):
        return  # names alone are not enough
    for folder in FOLDERS:
        files = {split: _list(dataset.root / folder, split, by_name) for split in SPLITS}
        if not files['val']:
            continue
        lists = {split: _listed(file, by_name, faults) for split, file in files.items()}
        others = {*lists['val'], *lists['test']}
        lists['train'] = lists['train'] or [p for p in paths.values() if p not in others]
        dataset.splits = {name: part_of_split(whole, name, some)
                          for name, some in lists.items() if some}  # fmt: skip
        left = len(paths) - len({path for some in lists.values() for path in some})
        left_out = f'; {left} images are in none of them and left out' if left else ''
        dataset.notes.append(f'divided by the lists in {dataset.root / folder}{left_out}')
        return


def _list(folder: Path, split: str, by_name: dict[str, Path]) -> Path | None:
    """Return the text file that lists a split's images; None if it lists something else."""
    for word in SPLITS[split]:
        file = folder / f'{word}.txt'
        names = [_name(line) for line in read_lines(file)] if file.is_file() else []
        found = sum(name in by_name for name in names)
        if found and found >= MATCH * len(names):
            return file
    return None


def _listed(file: Path | None, by_name: dict[str, Path], faults: Faults) -> list[Path]:
    lines = read_lines(file) if file else []
    for line in lines:
        if _name(line) not in by_name:
            faults.add('missing-image', file, f'{line}, or its labels', total=len(lines))
    return list(dict.fromkeys(by_name[name] for name in map(_name, lines) if name in by_name))


def _name(line: str) -> str:
    """Return a file's name without an image suffix; other dots belong to the name."""
    name = line.replace('\\', '/').rpartition('/')[2]
    return name.rpartition('.')[0] if Path(name).suffix.lower() in SUFFIXES else name
