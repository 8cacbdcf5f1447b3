"""MMEngine's checkpoint hook, made safe against crashes, full disks and NaN weights."""

import os
import re
from collections import deque
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from backbones import atomic_write
from backbones.errors import UserError
from backbones.openmmlab.compat import is_resuming, set_start, start_of
from backbones.openmmlab.safe_loading import histories, storable
from backbones.training import lora
from backbones.training.hooks import unwrapped

LAST = 'last_checkpoint'  # names the newest file relative to the work dir, which may be moved
MASKS = '/segm_mAP'
BACKEND = dict(backend='durable')


@register_backend('durable', force=True)
class DurableBackend(LocalBackend):
    """MMEngine's backend for local files, with `atomic_write.write` as its `put`.

    `backend_args=dict(backend='durable')` selects it wherever MMEngine writes.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        atomic_write.write(Path(filepath), obj)


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """Save as MMEngine's `CheckpointHook` does, with the same options, without losing anything.

    A checkpoint is complete and on disk before an older one is deleted, `last_checkpoint` is
    replaced atomically, and weights with NaN or Inf are never saved. Beside the numbered files,
    `last.pth` is the newest of them and `best.pth` the best, if `save_best` is set
    (`best_METRIC.pth` for each metric, if it lists several).

    A folder outside the file system (`out_dir='s3://...'`, or with `backend_args`) is written by
    its own backend, without these names.

    Raises:
        UserError: the disk is full, the folder is gone or not writable, or weights have NaN or
            Inf. The run stops; earlier checkpoints stay.
    """

    backend_args: dict | None

    def before_run(self, runner: Runner) -> None:
        """Point MMEngine's own resume to the file named in `last_checkpoint`."""
        if is_resuming(runner) and start_of(runner) is None and '://' not in str(self.out_dir):
            named = atomic_write.named_in(Path(runner.work_dir, LAST))
            set_start(runner, None if named is None else str(named), resume=named is not None)

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        chosen = self.file_client_args or self.backend_args
        self.local = '://' not in str(self.out_dir) and chosen in (None, BACKEND)
        if self.local:
            self.backend_args = BACKEND
            if is_main_process():
                self._tidy(runner)

    def _tidy(self, runner: Runner) -> None:
        """Finish what a killed run left half-done."""
        folder = Path(self.out_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if left := atomic_write.remove_partial(folder):
            runner.logger.info(f'removed partially written files: {", ".join(left)}')
        if is_resuming(runner) and 'last_ckpt' in runner.message_hub.runtime_info:
            path = folder / Path(runner.message_hub.get_info('last_ckpt')).name
            if path.is_file():
                self._name_last(runner, str(path))

    def _name_last(self, runner: Runner, path: str) -> None:
        named = os.path.relpath(path, runner.work_dir) if '://' not in path else path
        atomic_write.write(Path(runner.work_dir, LAST), named.encode())
        if self.local:
            atomic_write.point(Path(path).with_name('last.pth'), Path(path))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse weights with NaN or Inf; store logs so that `torch.load` reads the file."""
        checkpoint['message_hub'] = storable(checkpoint['message_hub'])
        names = (name for name, _ in unwrapped(runner).named_parameters())
        weights = {name.replace(f'.{lora.BASE}.', '.') for name in names}  # of merged adapters
        bad = [
            name
            for entry in ('state_dict', 'ema_state_dict')
            for name, value in checkpoint.get(entry, {}).items()
            # other buffers, such as attention masks, may hold Inf on purpose
            if (name.removeprefix('module.') in weights or 'running_' in name)
            and not _is_finite(value)
        ]
        if bad:
            raise UserError(
                f'not saved at iteration {runner.iter + 1}: {len(bad)} tensors contain NaN or Inf '
                f'(first: {bad[0]}). Earlier checkpoints are untouched: resume with '
                'optim_wrapper.clip_grad.max_norm=1, or start in another work dir from their '
                'weights (load_from) with a lower optim_wrapper.optimizer.lr'
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Give MMEngine the logs as it expects them, whoever has read the file."""
        if hub := checkpoint.get('message_hub'):
            hub['log_scalars'] = histories(hub['log_scalars'])

    def _save_checkpoint_with_step(self, runner: Runner, step: int | str, meta: dict) -> None:
        """Save first, then delete the checkpoints beyond `max_keep_ckpts`."""
        kept = self._kept(step)
        if self.max_keep_ckpts > 0:
            # there is one too many until the deletion; if the run is killed before, MMEngine's
            # `before_train` deletes the surplus in the resumed run
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            self._name_last(runner, str(self.last_ckpt))
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
            for old in kept[: -self.max_keep_ckpts]:
                self._remove(self.filename_tmpl.format(old))

    def _kept(self, step: int | str) -> list[int | str]:
        """Return the checkpoints including this one, oldest first."""
        if self.max_keep_ckpts <= 0:
            return []
        return [*(other for other in self.keep_ckpt_ids if other != step), step]

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save the new best checkpoint, then delete the previous one."""
        if not self.save_best:
            return
        if 'auto' in self.key_indicators:
            # MMEngine takes the first metric, of boxes, even if masks are learnt
            metrics = dict(sorted(metrics.items(), key=lambda m: not m[0].endswith(MASKS)))
        before = self._best()
        self._set_best([None] * len(before))  # MMEngine would delete the previous one first
        super()._save_best_checkpoint(runner, metrics)
        found = self._best()
        self._set_best([new or old for new, old in zip(found, before)])
        if not self.local or not is_main_process():
            return
        for metric, path in zip(self.key_indicators, found):
            if path is not None:  # this evaluation was better
                self._replace_best(Path(path), metric.replace('/', '_'))

    def _replace_best(self, path: Path, metric: str) -> None:
        """Point the stable name to `path`; delete all others, even those of a killed run."""
        several = len(self.key_indicators) > 1
        atomic_write.point(path.with_name(f'best_{metric}.pth' if several else 'best.pth'), path)
        pattern = re.escape(f'best_{metric}_{self.filename_tmpl}').replace(r'\{\}', r'\d+')
        for other in path.parent.iterdir():
            if re.fullmatch(pattern, other.name) and other.name != path.name:
                self._remove(other.name)

    def _best(self) -> list[str | None]:
        """Return the best checkpoint for each of `key_indicators`."""
        if len(self.key_indicators) == 1:
            return [self.best_ckpt_path]
        return [self.best_ckpt_path_dict[metric] for metric in self.key_indicators]

    def _set_best(self, paths: list[str | None]) -> None:
        if len(paths) == 1:
            (self.best_ckpt_path,) = paths
        else:
            self.best_ckpt_path_dict = dict(zip(self.key_indicators, paths))

    def _remove(self, name: str) -> None:
        path = self.file_backend.join_path(self.out_dir, name)
        if is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif is_main_process() and self.file_backend.isdir(path):  # as DeepSpeed saves
            self.file_backend.rmtree(path)


def _is_finite(value: Tensor) -> bool:
    if not value.numel():
        return True
    return bool(torch.stack(torch.aminmax(value)).isfinite().all())  # one pass, no copy
