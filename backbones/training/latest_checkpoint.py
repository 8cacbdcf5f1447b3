"""Choosing the checkpoint to resume from: the intact one with the most iterations."""

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
    """Read the intact checkpoint with the most iterations in the work dir; see `candidates`.

    Returns:
        Its path and content, or None and {} if there is none; and notices: one per skipped
        checkpoint, and one per sign that would make other tools choose another checkpoint.
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
    """List the checkpoints a run can resume from, most iterations first, ignoring times and names.

    Only files in the work dir or in the checkpoint hook's `out_dir` count, without the best ones,
    which lack the optimizer's state. Unreadable files come first.
    """
    files = [p for f in _folders(cfg) for p in f.glob('*.pth') if not p.name.startswith('best')]
    whole = {p.stat().st_ino: p for p in sorted(files, key=_is_numbered) if p.is_file()}
    ordered = sorted(whole.values(), key=lambda path: (not _is_numbered(path), path.name))
    return sorted(ordered, key=_iterations, reverse=True)


def _is_numbered(path: Path) -> bool:
    return path.name != 'last.pth'  # the same file, or a copy of it


def _folders(cfg: Config) -> list[Path]:
    """Return the folders that the checkpoint hook writes to."""
    folder = Path(cfg.work_dir)
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    out_dir = hook.get('out_dir')
    return [folder, Path(out_dir, folder.name)] if out_dir else [folder]


def _iterations(path: Path) -> float:
    """Return the iteration count stored in a checkpoint without loading its tensors."""
    try:
        check_archive(path, str(path))
        check_pickles(path, str(path))
        file = load(path, numbers=False)
    except (*DAMAGE, UserError, RefusedCall):
        return float('inf')  # the complete read will report why
    meta = file.get('meta') if isinstance(file, dict) else None
    count = meta.get('iter') if isinstance(meta, dict) else None
    return count if isinstance(count, int) else float('inf')


def _oddities(folder: Path, taken: Path, found: list[Path]) -> list[str]:
    """Report signs that point to another checkpoint than the one with the most iterations."""
    notices = []
    younger = [path for path in found if path.stat().st_mtime > taken.stat().st_mtime]
    if younger := [path for path in younger if _iterations(path) < _iterations(taken)]:
        notices.append(
            f'{younger[0].name} is newer, but has fewer iterations than {taken.name}, which is used'
        )
    named = folder / LAST
    said = atomic_write.named_in(named)
    if said is None:
        notices.append(f'{named} {_fault(named)}; using {taken.name} (most iterations)')
    elif said.resolve().parent != taken.resolve().parent:
        notices.append(
            f'{named} names a file in another folder, {said}, so this folder may be a copy; using '
            f'{taken}'
        )
    elif said.resolve() not in [path.resolve() for path in found[: found.index(taken) + 1]]:
        notices.append(
            f'{named} names {said.name}; using {taken.name}, which is intact and has the most '
            'iterations'
        )
    return notices


def _fault(named: Path) -> str:
    """Explain why `last_checkpoint` does not name a checkpoint."""
    if not os.path.lexists(named):
        return 'is missing'
    if not named.is_file():
        return 'is not a file'
    with named.open('rb') as file:
        text = file.read(60).decode(errors='replace').strip()
    return f'names a file that does not exist ({shown(text)})'


def read_whole(path: Path) -> dict:
    """Read a checkpoint to resume from, after verifying every byte of it.

    Raises:
        CheckpointError: it is damaged, or holds weights only.
    """
    check_archive(path, str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            torn = archive.testzip()  # compares checksums
    except BAD_ZIP as error:
        raise CheckpointError(f'{path} is damaged ({error})') from error
    if torn is not None:
        raise CheckpointError(f'{path} is damaged (checksum of {torn})')
    file = read(str(path))
    if 'optimizer' not in file or 'meta' not in file:
        raise CheckpointError(
            f'{path} holds no optimizer state to continue from; to start a new run from its '
            f'weights, use --cfg-options load_from={path}'
        )
    meta = safe_loading.plain(file, path.parent)['meta']
    if missing := [key for key in ('epoch', 'iter') if key not in meta]:
        raise CheckpointError(
            f'{path} lacks {" and ".join(missing)} in its meta, which MMEngine saves; to start '
            'a new run from its weights, use --cfg-options load_from=...'
        )
    return file
