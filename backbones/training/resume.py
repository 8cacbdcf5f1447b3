"""Going on with an earlier training: which checkpoint, whether it fits, what differs."""

import os
import re
import shlex
import sys
from pathlib import Path

from mmengine.config import Config

from backbones.checkpoints.classes import classes_in, same_classes
from backbones.errors import MissingFileError, UserError, listed
from backbones.openmmlab import safe_loading
from backbones.openmmlab.config_text import settings
from backbones.openmmlab.config_tree import averages, classes_of, innermost
from backbones.training.latest_checkpoint import candidates, latest, read_whole

# settings that the weights and the optimiser's state belong to
FIXED = re.compile(
    r'default_scope|model\..*|optim_wrapper\.(constructor|paramwise_cfg\..*|optimizer\.type)'
    r'|train_dataloader\.dataset\.(type|metainfo\.classes)'
)
# parts of the model that neither weights nor gradients depend on
FREE = re.compile(r'model\.(test_cfg|.*\binit_cfg\b|.*\bwith_cp$).*')
# settings whose state in the checkpoint replaces the config's
KEPT = re.compile(r'(optim_wrapper\.optimizer|param_scheduler)\b.*')
TAKEN = re.compile(
    r'(train_cfg(?!\.(type|by_epoch)$)|train_dataloader|optim_wrapper|randomness)\b.*'
)

LONGEST = 1 << 20  # characters of a config; ours have 30,000


def set_resume(cfg: Config, resume: str | None) -> list[str]:
    """Make the Runner go on with an earlier training, exactly: the seed is the earlier one's, too.

    Args:
        cfg: the config, as it will be given to the Runner.
        resume: a checkpoint; 'auto' takes the whole one of the work dir with the most iterations,
            and starts afresh if there is none; None does what the config's `resume` says, or starts
            afresh, unless torchrun or Slurm has restarted us.

    Returns:
        One notice for each checkpoint that was skipped, for what is odd about the folder, and for
        settings that have changed.

    Raises:
        MissingFileError: `resume` does not exist.
        CheckpointError: `resume` is torn, or has nothing to go on with.
        UserError: the checkpoint is one of another model, optimiser or dataset (names what
            differs), or a fresh start would be in a folder that holds checkpoints.
    """
    if resume is None and cfg.get('resume'):  # MMEngine's own way to ask for the same
        resume = cfg.get('load_from') or 'auto'
    if resume is None and not _restarted():
        if found := candidates(cfg):
            raise UserError(
                f'{cfg.work_dir} holds checkpoints of an earlier training '
                f'({listed(path.name for path in found)}): add --resume to go on with it, or '
                '--work-dir DIR to start in another folder'
            )
        return []
    if resume in (None, 'auto'):
        path, file, notices = latest(cfg)
        if path is None:
            cfg.resume = False
            return [*notices, f'no checkpoint in {cfg.work_dir} to resume, so the start is fresh']
    else:
        path, notices = Path(resume), []
        if not path.is_file():
            raise MissingFileError(f'--resume: checkpoint {path} does not exist')
        file = read_whole(path)
    meta = file['meta']
    if cfg.get('train_dataloader'):
        own = classes_of(cfg, next(innermost(cfg.train_dataloader.dataset)))
        same_classes(classes_in(file), own, str(path))
    before = settings(str(meta.get('cfg', '')))
    if before:
        notices += _compare(before, settings(cfg.pretty_text), path)
    if 'ema_state_dict' in file and not averages(cfg):
        raise UserError(
            f'{path} is of a training with averaged weights: add --ema, as it was started'
        )
    cfg.resume, cfg.load_from = True, str(path)
    safe_loading.hand_on(str(path), file)
    if meta.get('seed') is not None:
        # before the sampler is built with another
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=meta['seed'])
    return notices


def command(config: str, resume: str | None) -> str:
    """The command that goes on with this training: the one that was typed, with `--resume`.

    Args:
        config: what was typed for the config.
        resume: what was typed for `--resume`; it is replaced by the newest checkpoint.
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
    """Whether torchrun or Slurm started this process again after it had ended."""
    counts = ('TORCHELASTIC_RESTART_COUNT', 'SLURM_RESTART_COUNT')
    return any(int(os.environ.get(name, 0)) > 0 for name in counts)


def _compare(before: dict[str, object], now: dict[str, object], path: Path) -> list[str]:
    """Tell what differs, or refuse it."""
    differs = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    differs.sort(key=lambda key: key.count('.'))  # a class says more than its arguments
    told = {k: f'{k} {before.get(k, "absent")} -> {now.get(k, "absent")}' for k in differs}
    if fixed := [told[k] for k in differs if FIXED.fullmatch(k) and not FREE.fullmatch(k)]:
        raise UserError(
            f'{path} is of another training than this config (checkpoint -> config): '
            f'{listed(fixed)}. Resume with its own config, or start with --work-dir DIR'
        )
    free = [key for key in differs if not FIXED.fullmatch(key)]
    kept = [told[key] for key in free if KEPT.fullmatch(key)]
    taken = [told[key] for key in free if TAKEN.fullmatch(key) and not KEPT.fullmatch(key)]
    notices = [f'resumed with other settings than before: {listed(taken)}'] if taken else []
    if kept:
        notices.append(f'not changed, since a resumed training keeps them: {listed(kept)}')
    return notices
