"""All private names of other libraries that this project uses, in one place.

`SEEN` lists each with the version in which it was verified. A test looks them up in the installed
packages, and names those that a release has dropped.
"""

from collections.abc import Callable
from typing import Any

from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.runner import Runner
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

# names that this file reads or calls, or that the file in the last column overrides
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
    ('mmdet.models.dense_heads.YOLOXHead', '_bbox_decode', '3.5.1', ''),
    ('pickle', '_Unpickler', '3.13', 'checkpoints/pickles.py'),
    ('torch.ops.torchvision', '_deform_conv2d_backward', '0.26', 'openmmlab/mmcv_ops'),
    ('torch.ops.torchvision', '_roi_align_backward', '0.26', 'openmmlab/mmcv_ops'),
)


def is_resuming(runner: Runner) -> bool:
    """Return whether a runner resumes an earlier run."""
    return runner._resume


def start_of(runner: Runner) -> str | None:
    """Return the checkpoint that a runner starts or resumes from."""
    return runner._load_from


def set_start(runner: Runner, checkpoint: str | None, *, resume: bool) -> None:
    """Set the checkpoint that a runner starts from or, with `resume`, continues."""
    runner._load_from, runner._resume = checkpoint, resume


def swap_averages(hook: EMAHook) -> None:
    """Swap the model's weights with their averages, or back."""
    hook._swap_ema_parameters()


def save_at(hook: CheckpointHook, runner: Runner, step: int | str, meta: dict) -> None:
    """Save as the hook does at the end of its interval."""
    hook._save_checkpoint_with_step(runner, step, meta)


def checkpoint_loaders() -> dict[str, Callable]:
    """Return MMEngine's checkpoint loaders by path prefix."""
    return dict(CheckpointLoader._schemes)


def cache_folder() -> str:
    """Return MMEngine's download cache."""
    return mmengine_checkpoint._get_mmengine_home()


def of_classifier(file: dict) -> Any:
    """Extract the backbone's weights from the checkpoint of an MMPretrain classifier."""
    return mmengine_checkpoint._process_mmcls_checkpoint(file)


def decode_yolox_boxes(head: Any, priors: Tensor, deltas: Tensor) -> Tensor:
    """Decode YOLOXHead's boxes: priors (N, 4), deltas (..., N, 4) -> corners (..., N, 4)."""
    return head._bbox_decode(priors, deltas)
