"""Check the data in a folder or of a config, and format the report."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from backbones.data.check_dataset import Report, check_dataset
from backbones.data.checks.config_datasets import allowed_faults, images_per_epoch, read_datasets
from backbones.data.configs.schedules import check_schedule
from backbones.data.faults.faults import Faults
from backbones.data.layouts.folder import Options, read_folder
from backbones.data.splits import is_undivided, split_off_validation
from backbones.errors import MissingFileError, UserError, listed, shown
from backbones.openmmlab import config
from backbones.tables import table

USUAL_SHARE = 0.2  # share of the training images to set aside for validation


def check(
    data: str,
    *,
    layout: str | None = None,
    classes: Sequence[str] = (),
    allowed: Iterable[str] = (),
    decode: bool = False,
    progress: bool = False,
    val: float | None = None,
    divide: bool = False,
    seed: int = 0,
    channels: int | None = None,
    ignore: Sequence[str] = (),
    enclosing_boxes: bool = False,
    wants: str | None = None,
) -> Report:
    """Check the dataset in a folder, or the datasets of a config.

    Args:
        data: a folder, a config file, or the name of a config that comes with the package.
        layout: see `backbones.data.layouts.folder.read_folder`.
        classes: names in order; () takes them from the data.
        allowed: kinds of faults that are intentional.
        decode: load all pixels, even of a large dataset.
        progress: show progress bars on stderr.
        val, seed: for a folder without a validation split; see `split_off_validation`.
        divide: if `val` is None, set aside a fifth of the images of such a folder.
        channels: the number of channels that every image of a folder must have; all of them are
            read. None decides by the images.

    Raises:
        UserError: there is nothing to check.
    """
    if channels is not None and channels < 1:
        raise UserError(f'--channels is {channels}; allowed: 1, 2, 3, ...')
    if Path(data).is_dir():
        faults = Faults(allowed)
        options = Options(layout, classes, ignore, enclosing_boxes, wants, decode, progress)
        dataset = read_folder(Path(data), faults, options)
        dataset.channels, dataset.masks = channels, wants != 'boxes'
        if val is None and divide and is_undivided(dataset):
            val = USUAL_SHARE
            dataset.notes.append('there is no validation split, so a fifth of the training images '
                                 f'is set aside, as by --val {val:g}')  # fmt: skip
        if val is not None:
            split_off_validation(dataset, val, seed=seed, progress=progress)
        return check_dataset(dataset, faults, decode=decode, progress=progress)
    if layout or classes or ignore or enclosing_boxes or channels:
        raise UserError('--layout, --classes, --ignore, --enclosing-boxes and --channels are for a '
                        'folder; remove them for a config')  # fmt: skip
    try:
        cfg = config.load_config(data)
    except MissingFileError as error:
        if Path(data).exists():  # the missing file is its base
            raise
        raise MissingFileError(f'there is no folder {data}, and {error}') from error
    if not any(cfg.get(loader) for loader in config.DATALOADERS):
        raise UserError(f'config {data} has no dataloader, so there is no data to check')
    faults = Faults([*allowed, *allowed_faults(cfg)])
    dataset = read_datasets(cfg, faults)
    report = check_dataset(dataset, faults, decode=decode, progress=progress)
    check_schedule(cfg, images_per_epoch(cfg, dataset), faults)
    return report


def text(report: Report) -> str:
    """Format counts, classes and faults, with the verdict in the last line."""
    dataset, faults = report.dataset, report.faults
    instances = 'boxes and masks' if dataset.has_masks() else 'boxes'
    task = instances if dataset.detection else 'label maps'
    number = len(dataset.classes)
    counted = f'{number} {"class" if number == 1 else "classes"}'
    blocks = [f'{shown(dataset.root)} ({dataset.layout}): {task} of {counted}: '
              f'{listed(map(shown, dataset.classes))}']  # fmt: skip
    for split, counts in report.counts.items():
        blocks.append('\n'.join([split, *(f'  {k}: {v}' for k, v in counts.items())]))
    if report.classes:
        title = 'instances of class' if dataset.detection else 'label maps with class'
        rows = [[shown(name), *counts.values()] for name, counts in report.classes.items()]
        blocks.append(table([title, *dataset.splits], rows))
    blocks += ['\n'.join(report.notes)] if report.notes else []
    if faults.found:
        blocks.append('\n'.join(faults.lines()))
    errors = len(faults.errors)
    verdict = f'{errors} errors, {len(faults.warnings)} warnings'
    return '\n\n'.join([*blocks, verdict + ('; --allow KIND if intentional' if errors else '')])


def as_json(report: Report) -> dict:
    """Return the report's contents for JSON."""
    return dict(
        root=str(report.dataset.root),
        layout=report.dataset.layout,
        splits=report.counts,
        classes=report.classes,
        notes=report.notes,
        faults=report.faults.as_json(),
    )
