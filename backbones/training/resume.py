"""Resuming a training run: choose the checkpoint, check that it fits, report what differs."""

import os
import re
import shlex
import sys
from pathlib import Path

from mmengine.config import Config

from backbones.checkpoints.classes import classes_in, same_classes
from backbones.checkpoints.fetch import locate
from backbones.errors import UserError, listed
from backbones.openmmlab import safe_loading
from backbones.openmmlab.config_tree import averages, classes_of, innermost
from backbones.openmmlab.stored_config import settings
from backbones.training.latest_checkpoint import candidates, latest, read_whole

# settings that must match the weights and the optimizer's state
FIXED = re.compile(
    r'default_scope|lora|model\..*|optim_wrapper\.(constructor|paramwise_cfg\..*|optimizer\.type)'
    r'|train_dataloader\.dataset\.(type|metainfo\.classes)'
)
# parts of the model config that affect neither weights nor gradients
FREE = re.compile(r'model\.(test_cfg|.*\binit_cfg\b|.*\bwith_cp$).*')
# settings whose state in the checkpoint overrides the config
KEPT = re.compile(r'(optim_wrapper\.optimizer|param_scheduler)\b.*')
TAKEN = re.compile(
    r'(train_cfg(?!\.(type|by_epoch)$)|train_dataloader|optim_wrapper|randomness)\b.*'
)


def set_resume(cfg: Config, resume: str | None) -> list[str]:
    """Set up the config to continue an earlier training run exactly, with its seed.

    Args:
        cfg: the config that the Runner will get.
        resume: a checkpoint; 'auto' takes the intact one with the most iterations in the work dir,
            or starts from scratch if there is none; None follows the config's `resume`, or starts
            from scratch unless torchrun or Slurm has restarted this process.

    Returns:
        Notices on skipped checkpoints, oddities of the work dir, and changed settings.

    Raises:
        MissingFileError: `resume` does not exist, or is a folder.
        CheckpointError: `resume` is damaged, or holds nothing to continue from.
        UserError: the checkpoint belongs to another model, optimizer or dataset (the message names
            the differences), or a new run would start in a work dir that holds checkpoints.
    """
    if resume is None and cfg.get('resume'):  # MMEngine's own setting for the same
        resume = cfg.get('load_from') or 'auto'
    if resume is None and not _restarted():
        if found := candidates(cfg):
            raise UserError(
                f'{cfg.work_dir} holds checkpoints of an earlier training run '
                f'({listed(path.name for path in found)}): add --resume to continue it, or '
                '--work-dir DIR to start in another folder'
            )
        return []
    if resume in (None, 'auto'):
        path, file, notices = latest(cfg)
        if path is None:
            cfg.resume = False
            return [*notices, f'no checkpoint in {cfg.work_dir} to resume: starting from scratch']
    else:
        path, notices = locate(resume)[0], []
        file = read_whole(path)
    meta = file['meta']
    if cfg.get('train_dataloader'):
        own = classes_of(cfg, innermost(cfg.train_dataloader.dataset)[0])
        same_classes(classes_in(file), own, str(path))
    before = settings(str(meta.get('cfg', '')))
    if before:
        notices += _compare(before, settings(cfg.pretty_text), path)
    if 'ema_state_dict' in file and not averages(cfg):
        raise UserError(
            f'{path} is from a run with averaged weights: add --ema, as in the original command'
        )
    cfg.resume, cfg.load_from = True, str(path)
    safe_loading.hand_on(str(path), file)
    if meta.get('seed') is not None:
        # before the sampler is built with a different one
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=meta['seed'])
    return notices


def command(config: str, resume: str | None) -> str:
    """Return the command that continues this run: the typed one, with `--resume`.

    Args:
        config: the config as typed.
        resume: the value of `--resume` as typed; it is replaced by the newest checkpoint.
    """
    words = [
        word for word in sys.argv[1:] if word not in ('--resume', resume, f'--resume={resume}')
    ]
    start = ['python', sys.argv[0]]
    if 'TORCHELASTIC_RUN_ID' in os.environ:
        words = [w for w in words if w not in (config, '--launcher', 'pytorch')]
        script = Path(sys.argv[0]).with_name('dist_train.sh')
        start = [str(script), config, os.environ['LOCAL_WORLD_SIZE']]
    return shlex.join([*start, *words, '--resume'])


def _restarted() -> bool:
    """Return whether torchrun or Slurm has restarted this process."""
    counts = ('TORCHELASTIC_RESTART_COUNT', 'SLURM_RESTART_COUNT')
    return any(int(os.environ.get(name, 0)) > 0 for name in counts)


def _compare(before: dict[str, object], now: dict[str, object], path: Path) -> list[str]:
    """Return notices on the differences; raise an error for those that rule out a resume."""
    differs = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    differs.sort(key=lambda key: key.count('.'))  # a class says more than its arguments
    told = {k: f'{k} {before.get(k, "absent")} -> {now.get(k, "absent")}' for k in differs}
    if fixed := [told[k] for k in differs if FIXED.fullmatch(k) and not FREE.fullmatch(k)]:
        raise UserError(
            f'{path} is from a training run with another config (checkpoint -> config): '
            f'{listed(fixed)}. Resume with its own config, or start with --work-dir DIR'
        )
    free = [key for key in differs if not FIXED.fullmatch(key)]
    kept = [told[key] for key in free if KEPT.fullmatch(key)]
    taken = [told[key] for key in free if TAKEN.fullmatch(key) and not KEPT.fullmatch(key)]
    notices = [f'resumed with changed settings: {listed(taken)}'] if taken else []
    if kept:
        notices.append(f'ignored, because a resumed run keeps the old values: {listed(kept)}')
    return notices
