"""The private names of other libraries that this project uses, each once.

`SEEN` lists them with the version that they were seen in; a test looks each up in what is
installed, and fails by its name when a release has dropped it.
"""

from collections.abc import Callable
from typing import Any

from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.runner import Runner
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

# what is read or called here, or overridden where the last column says
SEEN = (
    ('mmengine.runner.Runner', '_resume', '0.10.12', ''),
    ('mmengine.runner.Runner', '_load_from', '0.10.12', ''),
    ('mmengine.runner.EpochBasedTrainLoop', '_epoch', '0.10.12', 'training/loop.py'),
    (
        'mmengine.runner.EpochBasedTrainLoop',
        '_decide_current_val_interval',
        '0.10.12',
        'training/loop.py',
    ),
    (
        'mmengine.runner.IterBasedTrainLoop',
        '_decide_current_val_interval',
        '0.10.12',
        'training/loop.py',
    ),
    ('mmengine.hooks.EMAHook', '_swap_ema_parameters', '0.10.12', ''),
    (
        'mmengine.hooks.CheckpointHook',
        '_save_checkpoint_with_step',
        '0.10.12',
        'training/checkpoints.py',
    ),
    (
        'mmengine.hooks.CheckpointHook',
        '_save_best_checkpoint',
        '0.10.12',
        'training/checkpoints.py',
    ),
    ('mmengine.runner.checkpoint.CheckpointLoader', '_schemes', '0.10.12', ''),
    ('mmengine.runner.checkpoint', '_get_mmengine_home', '0.10.12', ''),
    ('mmengine.runner.checkpoint', '_process_mmcls_checkpoint', '0.10.12', ''),
    ('mmengine.config.utils', 'MODULE2PACKAGE', '0.10.12', 'openmmlab/register.py'),
    ('pickle', '_Unpickler', '3.13', 'checkpoints/pickles.py'),
    ('torch.ops.torchvision', '_deform_conv2d_backward', '0.26', 'openmmlab/mmcv_ops'),
    ('torch.ops.torchvision', '_roi_align_backward', '0.26', 'openmmlab/mmcv_ops'),
)


def is_resuming(runner: Runner) -> bool:
    """Whether a runner continues an earlier run."""
    return runner._resume


def start_of(runner: Runner) -> str | None:
    """The checkpoint that a runner starts from, or continues."""
    return runner._load_from


def set_start(runner: Runner, checkpoint: str | None, *, resume: bool) -> None:
    """Let a runner start from a checkpoint, or continue it."""
    runner._load_from, runner._resume = checkpoint, resume


def swap_averages(hook: EMAHook) -> None:
    """Exchange the weights of the model for their averages, or back."""
    hook._swap_ema_parameters()


def save_at(hook: CheckpointHook, runner: Runner, step: int | str, meta: dict) -> None:
    """Save as the hook does at the end of an interval."""
    hook._save_checkpoint_with_step(runner, step, meta)


def checkpoint_loaders() -> dict[str, Callable]:
    """MMEngine's readers of checkpoints, by the beginning of a name."""
    return dict(CheckpointLoader._schemes)


def cache_folder() -> str:
    """Where MMEngine keeps what it has downloaded."""
    return mmengine_checkpoint._get_mmengine_home()


def of_classifier(file: dict) -> Any:
    """The backbone's weights in a checkpoint of an MMPretrain classifier."""
    return mmengine_checkpoint._process_mmcls_checkpoint(file)
