"""Which checkpoint of a work dir a resumed run continues: the whole one with most iterations."""

import os
import zipfile
from pathlib import Path

from mmengine.config import Config

from backbones import atomic_write
from backbones.checkpoints import read
from backbones.checkpoints.files import DAMAGE
from backbones.checkpoints.kinds import BAD_ZIP
from backbones.checkpoints.limits import check_archive, check_pickles
from backbones.checkpoints.pickles import RefusedCall
from backbones.checkpoints.torch_files import load
from backbones.errors import CheckpointError, UserError, shown
from backbones.openmmlab import safe_loading
from backbones.training.checkpoints import LAST


def latest(cfg: Config) -> tuple[Path | None, dict, list[str]]:
    """Read the whole checkpoint of a work dir with most iterations; see `candidates`.

    Returns:
        Its path and content, None and {} if there is none; and one notice for each that was
        skipped, and for each thing by which other tools would have taken another one.
    """
    notices: list[str] = []
    found = candidates(cfg)
    for path in found:
        try:
            file = read_whole(path)
        except CheckpointError as error:
            notices.append(f'skipped a checkpoint: {error}')
            continue
        return path, file, [*notices, *_oddities(Path(cfg.work_dir), path, found)]
    return None, {}, notices


def candidates(cfg: Config) -> list[Path]:
    """What a run can resume from, most iterations first, whatever times and names say.

    Only files of the work dir, or of the checkpoint hook's `out_dir`, count, and not the best ones,
    which lack the optimiser's state. A file that cannot be read comes first.
    """
    files = [p for f in _folders(cfg) for p in f.glob('*.pth') if not p.name.startswith('best')]
    whole = {p.stat().st_ino: p for p in sorted(files, key=_is_numbered) if p.is_file()}
    ordered = sorted(whole.values(), key=lambda path: (not _is_numbered(path), path.name))
    return sorted(ordered, key=_iterations, reverse=True)


def _is_numbered(path: Path) -> bool:
    return path.name != 'last.pth'  # the same file, or a copy of it


def _folders(cfg: Config) -> list[Path]:
    """Where the checkpoint hook writes."""
    folder = Path(cfg.work_dir)
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    out_dir = hook.get('out_dir')
    return [folder, Path(out_dir, folder.name)] if out_dir else [folder]


def _iterations(path: Path) -> float:
    """How many a checkpoint says that it has, without reading its numbers."""
    try:
        check_archive(path, str(path))
        check_pickles(path, str(path))
        file = load(path, numbers=False)
    except (*DAMAGE, UserError, RefusedCall):
        return float('inf')  # reading it whole will say why
    meta = file.get('meta') if isinstance(file, dict) else None
    count = meta.get('iter') if isinstance(meta, dict) else None
    return count if isinstance(count, int) else float('inf')


def _oddities(folder: Path, taken: Path, found: list[Path]) -> list[str]:
    """What speaks for another checkpoint than the one with most iterations."""
    notices = []
    younger = [path for path in found if path.stat().st_mtime > taken.stat().st_mtime]
    if younger := [path for path in younger if _iterations(path) < _iterations(taken)]:
        notices.append(
            f'{younger[0].name} is younger than {taken.name}, which has more iterations and is '
            'taken'
        )
    named = folder / LAST
    said = atomic_write.named_in(named)
    if said is None:
        notices.append(f'{named} {_fault(named)}; {taken.name} has most iterations and is taken')
    elif said.resolve().parent != taken.resolve().parent:
        notices.append(
            f'{named} names a file of another folder, {said}: this one may be a copy; taken is '
            f'{taken}'
        )
    elif said.resolve() not in [path.resolve() for path in found[: found.index(taken) + 1]]:
        notices.append(
            f'{named} names {said.name}; {taken.name} is whole, has most iterations and is taken'
        )
    return notices


def _fault(named: Path) -> str:
    """Why `last_checkpoint` names no checkpoint."""
    if not os.path.lexists(named):
        return 'is missing'
    if not named.is_file():
        return 'is not a file'
    with named.open('rb') as file:
        text = file.read(60).decode(errors='replace').strip()
    return f'names no file that is there ({shown(text)})'


def read_whole(path: Path) -> dict:
    """A checkpoint that a run can resume from, once every byte of it has proved right.

    Raises:
        CheckpointError: it is torn, or holds weights alone.
    """
    check_archive(path, str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            torn = archive.testzip()  # compares checksums
    except BAD_ZIP as error:
        raise CheckpointError(f'{path} is torn ({error})') from error
    if torn is not None:
        raise CheckpointError(f'{path} is torn (checksum of {torn})')
    file = read(str(path))
    if 'optimizer' not in file or 'meta' not in file:
        raise CheckpointError(
            f'{path} holds no state of the optimiser to go on with; to start from its weights, '
            f'use --cfg-options load_from={path}'
        )
    meta = safe_loading.plain(file, path.parent)['meta']
    if missing := [key for key in ('epoch', 'iter') if key not in meta]:
        raise CheckpointError(
            f'{path} does not say at which {" and ".join(missing)} it was saved, as MMEngine does '
            '(meta); to start from its weights, use --cfg-options load_from=...'
        )
    return file
