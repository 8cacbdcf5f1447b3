"""Stop training when a loss becomes NaN or infinite."""

import math

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from backbones.errors import UserError


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop at the first iteration with a NaN or infinite loss.

    This happens before anything of that iteration is logged or saved. MMEngine fetches every loss
    from the GPU in each iteration anyway, so the check has no measurable cost.

    Raises:
        UserError: there is one; the message names loss, iteration, learning rate and what to try.
    """

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: object = None,
        outputs: dict | None = None,
    ) -> None:
        found = {k: torch.as_tensor(x).item() for k, x in (outputs or {}).items() if 'loss' in k}
        bad = {name: value for name, value in found.items() if not math.isfinite(value)}
        if not bad:
            return
        parts = {name: value for name, value in bad.items() if name != 'loss'} or bad  # not the sum
        rate = max(rate for rates in runner.optim_wrapper.get_lr().values() for rate in rates)
        raise UserError(
            f'{" and ".join(f"{name} is {value}" for name, value in parts.items())} at iteration '
            f'{runner.iter + 1}, learning rate {rate:g}. Earlier checkpoints are untouched: '
            'resume with optim_wrapper.clip_grad.max_norm=1 or without --amp; or, since a resumed '
            'run keeps its learning rates, start in another work dir with '
            f'load_from={runner.work_dir}/last.pth, a lower optim_wrapper.optimizer.lr, and a '
            'longer warm-up (param_scheduler.0.end)'
        )
