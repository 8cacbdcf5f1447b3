"""Length and learning rate of a training run: checked in a config, chosen for a new one."""

import copy
import math
from dataclasses import dataclass

from mmengine.config import Config

from backbones.data.config_text import named, override
from backbones.data.faults import Faults

LEAST = 1000  # iterations of a training run, unless --epochs says otherwise
EPOCHS = (12, 300)  # minimum and maximum
VALIDATIONS = 10  # per training run


def check_schedule(cfg: Config, images: int, faults: Faults) -> None:
    """Warn of schedules that do not fit the length of the training run.

    Args:
        images: per epoch; 0 if unknown, which skips the check.
    """
    if not images:
        return
    loop = cfg.get('train_cfg') or {}
    batch = cfg.train_dataloader.get('batch_size', 1)
    if not isinstance(batch, int) or batch < 1:
        said = f'batch_size is {batch!r}; allowed: an integer from 1'
        return faults.add('wrong-config', 'train_dataloader', said)
    per_epoch = max(1, -(-images // batch))
    epochs = loop.get('max_epochs')
    iterations = loop.get('max_iters') or (epochs or 0) * per_epoch
    rules = cfg.get('param_scheduler') or []
    for i, rule in enumerate(rules if isinstance(rules, list | tuple) else [rules]):
        unit = 'epochs' if rule.get('by_epoch', True) else 'iterations'
        total = (epochs or iterations / per_epoch) if unit == 'epochs' else iterations
        place, length = f'param_scheduler.{i}', f'the run has {total:g} {unit}'
        last = max([rule.get('begin', 0), *rule.get('milestones', [])])
        if rule['type'] == 'LinearLR' and rule.get('end', 0) > 0.5 * total:
            faults.add('schedule', place, f'the warm-up ends after {rule["end"]} {unit}; {length}')
        elif last >= total:
            faults.add('schedule', place, f'{rule["type"]} acts at {last} {unit}; {length}')
        elif rule['type'] != 'LinearLR' and rule.get('end', total) > 1.5 * total:
            faults.add('schedule', place, f'{rule["type"]} ends at {rule["end"]} {unit}; {length}')


@dataclass
class Plan:
    """The length and batch size of a training run.

    Args:
        epochs: passes over the training images.
        batch: images per iteration of one process.
        images: number of training images.
    """

    epochs: int
    batch: int
    images: int

    @property
    def per_epoch(self) -> int:
        return math.ceil(self.images / self.batch)

    @property
    def iterations(self) -> int:
        return self.epochs * self.per_epoch


def make_plan(cfg: Config, images: int, *, epochs: int | None, batch: int | None) -> Plan:
    """Choose the values that are not given.

    Args:
        cfg: the base.
        images: number of training images.
        epochs: passes over the images.
        batch: images per iteration of one process.
    """
    batch = batch or cfg.train_dataloader.batch_size
    epochs = epochs or min(max(EPOCHS[0], math.ceil(LEAST * batch / images)), EPOCHS[1])
    return Plan(epochs, batch, images)


def schedule_lines(cfg: Config, new: Config, plan: Plan) -> list[str]:
    """Return config lines: length, warm-up, learning rate, intervals to validate, save and log.

    Args:
        cfg: the base.
        new: the same with the new optimizer.
    """
    by_epoch = 'max_epochs' in cfg.train_cfg
    every = max(1, plan.epochs // VALIDATIONS) * (1 if by_epoch else plan.per_epoch)
    length = f'max_epochs={plan.epochs}' if by_epoch else f'max_iters={plan.iterations}'
    warm = min(_warm_up(cfg), plan.iterations // 10)
    logged = max(1, min(50, plan.iterations // 20))
    linear = f"    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end={warm}),"
    return [
        f'# {plan.epochs} epochs of {plan.per_epoch} iterations in one process',
        f'train_cfg = dict({length}, val_interval={every})',
        '# the warm-up is at most a tenth of the run',
        'param_scheduler = [',
        *([linear] if warm else []),  # MMEngine rejects a rule without iterations
        f"    dict(type='CosineAnnealingLR', by_epoch=False, begin={warm}, end={plan.iterations})]",
        *_optimizer_lines(cfg, new, plan),
        f'default_hooks = dict(logger=dict(interval={logged}), checkpoint=dict(interval={every}))',
    ]


def _optimizer_lines(cfg: Config, new: Config, plan: Plan) -> list[str]:
    usual = (new.get('auto_scale_lr') or {}).get('base_batch_size')
    wrapper = copy.deepcopy(new.optim_wrapper)
    rate = wrapper.optimizer.get('lr')
    lines = []
    if usual and rate and usual != plan.batch:
        wrapper.optimizer.lr = float(f'{rate * math.sqrt(plan.batch / usual):.2g}')
        lines.append(f'# lr {rate:g} is for batches of {usual}: scaled by the root of the ratio')
    change = override(cfg.optim_wrapper, wrapper, '_base_.optim_wrapper')
    if change is not None:
        made = named('optim_wrapper', change, sign=' = ')
        lines.append(made if isinstance(made, str) else made.text())
    if usual and usual != plan.batch:
        lines.append(f'auto_scale_lr = dict(base_batch_size={plan.batch})')
    return lines


def _warm_up(cfg: Config) -> int:
    rules = cfg.get('param_scheduler') or []
    ends = [r.get('end', 0) for r in rules if r['type'] == 'LinearLR' and not r.get('by_epoch')]
    return max(ends, default=500)
